#include <headgate/db/postgres_reader.hpp>
#include <headgate/db/postgres_types.hpp>

#include <algorithm>
#include <array>
#include <cstring>

namespace headgate::db::detail {

namespace {

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

std::string quoted(std::string_view text) {
    std::string out = "'";
    for (const char c : text) out.append(c == '\'' ? 2 : 1, c);
    return out + "'";
}

// Whether COPY takes it: not SHOW or EXPLAIN, which give rows as well.
bool is_query(std::string_view sql) noexcept {
    sql.remove_prefix(std::min(sql.find_first_not_of(" \t\r\n("), sql.size()));
    return std::ranges::any_of(std::array<std::string_view, 4>{"select", "with", "values", "table"}, [&](auto word) {
        return std::ranges::equal(sql.substr(0, word.size()), word, [](char a, char b) { return (a | 0x20) == b; }) &&
               sql.size() > word.size() && std::string_view(" \t\r\n(*'\"-+/").contains(sql[word.size()]);
    });
}

// COPY writes "t" for true and no T between a date and a time; there is no style that would.
bool copied_as_formatted(const column& c) noexcept {
    switch (c.type) {
    case value_type::boolean:
    case value_type::timestamp:
    case value_type::timestamptz:
    case value_type::timetz: return false;
    default: return true;
    }
}

} // namespace

bool postgres_copy_reader::may_take(const query& q, const query_options& o) noexcept {
    return o.csv && o.csv->quotes == csv_quotes::minimal && o.csv->bytes == byte_coding::hex && o.fetch_rows == 0 &&
           q.parameters() == 0 && is_query(q.sql());
}

std::string postgres_copy_reader::copy_sql() const {
    std::string sql = "COPY (" + sql_ + "\n) TO STDOUT (FORMAT csv, ENCODING 'UTF8', HEADER ";
    sql += options_.csv->header ? "true" : "false";
    return sql + ", DELIMITER " + quoted({&options_.csv->delimiter, 1}) + ", NULL " + quoted(options_.csv->null) +
           "); COMMIT";
}

void postgres_copy_reader::begin(postgres_session& s, const query& q, const std::vector<parameter>&, time_point until) {
    start(s, until);
    sql_ = q.sql();
    unsent_ = true;
    const std::string limit = timeout_sql();
    if (!PQenterPipelineMode(conn()) || !send(begin_sql()) || (!limit.empty() && !send(limit)) ||
        !PQsendPrepare(conn(), "", sql_.c_str(), 0, nullptr) || !PQsendDescribePrepared(conn(), "") ||
        !PQpipelineSync(conn()))
        broke_off();
}

postgres_reader::next postgres_copy_reader::step() {
    for (;;) {
        if (error_) return next::failed;
        if (std::exchange(unsent_, false)) return next::flush;
        if (gathered_ && std::exchange(give_on_, false)) return next::item;
        if (line_) {
            if (!put({line_.get(), line_bytes_})) return error_ ? next::failed : next::item;
            line_.reset();
        }
        if (copying_) {
            char* line = nullptr;
            const int n = PQgetCopyData(conn(), &line, 1);
            line_.reset(line);
            if (n == 0) return next::wait;
            copying_ = n > 0; // else its result says how it went
            line_bytes_ = static_cast<std::size_t>(std::max(n, 0));
            continue;
        }
        if (PQisBusy(conn())) return next::wait;
        if (const postgres_result r(PQgetResult(conn())); r)
            take_result(*r);
        else if (!describing_)
            return !finish() ? next::failed : refused_ ? next::refuse : next::last;
    }
}

void postgres_copy_reader::take_result(const PGresult& r) {
    switch (PQresultStatus(&r)) {
    case PGRES_COMMAND_OK:
        if (describing_ && PQnfields(&r) != 0) columns_ = columns_of(r);
        break;
    case PGRES_PIPELINE_SYNC: after_description(); break;
    case PGRES_COPY_OUT:
        copying_ = true;
        begin_text();
        break;
    case PGRES_FATAL_ERROR:
        no_longer_running();
        fail(postgres_report(r));
        break;
    default: fail({.code = errc::protocol, .message = "not a query that can be copied"}); break;
    }
}

void postgres_copy_reader::after_description() {
    describing_ = false;
    refused_ = columns_.empty() || !std::ranges::all_of(columns_, &copied_as_formatted);
    unsent_ = true;
    if (!PQexitPipelineMode(conn()) || !PQsendQuery(conn(), refused_ ? "COMMIT" : copy_sql().c_str())) broke_off();
}

void postgres_copy_reader::begin_text() {
    header_ = options_.csv->header;
    if (!options_.csv->bom) return;
    out_ = chunk(options_.batch_bytes);
    filled_ = byte_order_mark.copy(out_.data(), byte_order_mark.size());
}

// A line as COPY gives it ends with LF. False: what is gathered is to be given on first, or there was an error.
bool postgres_copy_reader::put(std::string_view line) {
    const std::string_view end = options_.csv->crlf ? "\r\n" : "\n";
    line.remove_suffix(1);
    const std::size_t needed = filled_ + line.size() + end.size();
    if (out_.size() < needed) {
        if (gathered_) return false;
        if (line.size() > options_.row_bytes_max) return row_too_large(line.size()), false;
        chunk larger(std::max(options_.batch_bytes, needed));
        std::copy_n(out_.data(), filled_, larger.data()); // a byte order mark
        out_ = std::move(larger);
    }
    if (!std::exchange(gathered_, true)) begin_gathering();
    char* const to = out_.data() + filled_;
    std::memcpy(to, line.data(), line.size());
    end.copy(to + line.size(), end.size());
    filled_ = needed;
    if (!std::exchange(header_, false)) ++rows_;
    return true;
}

row_batch postgres_copy_reader::take() {
    out_.truncate(std::exchange(filled_, 0));
    gathered_ = false;
    told_ = true;
    return {columns_, std::exchange(out_, {}), std::exchange(rows_, 0)};
}

} // namespace headgate::db::detail
