#include <headgate/db/postgres_reader.hpp>

#include <algorithm>
#include <cstring>

namespace headgate::db::detail {

namespace {

std::string quoted(std::string_view text) {
    std::string out = "'";
    for (const char c : text) out.append(c == '\'' ? 2 : 1, c);
    return out + "'";
}

} // namespace

std::string postgres_copy_reader::copy_sql(const query& q) const {
    std::string sql = begin_sql();
    if (const std::string limit = timeout_sql(); !limit.empty()) sql += "; " + limit;
    sql += "; COPY (" + q.sql() + "\n) TO STDOUT (FORMAT csv, ENCODING 'UTF8', HEADER ";
    sql += format_.header ? "true" : "false";
    sql += ", DELIMITER " + quoted({&format_.delimiter, 1}) + ", NULL " + quoted(format_.null) + "); COMMIT";
    return sql;
}

void postgres_copy_reader::begin(postgres_session& s, const query& q, const std::vector<parameter>&, time_point until) {
    start(s, until);
    unsent_ = true;
    if (!PQsendQuery(conn(), copy_sql(q).c_str())) broke_off();
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
        const postgres_result r(PQgetResult(conn()));
        if (!r) return finish() ? next::last : next::failed;
        switch (PQresultStatus(r.get())) {
        case PGRES_COMMAND_OK: break;
        case PGRES_COPY_OUT: copying_ = true; break;
        case PGRES_FATAL_ERROR:
            no_longer_running();
            fail(postgres_report(*r));
            break;
        default: fail({.code = errc::protocol, .message = "not a query that can be copied"}); break;
        }
    }
}

// False: what is gathered is to be given on first, or there was an error.
bool postgres_copy_reader::put(std::string_view line) {
    if (out_.size() - filled_ < line.size()) {
        if (gathered_) return false;
        if (line.size() > options_.row_bytes_max) return row_too_large(line.size()), false;
        out_ = chunk(std::max(options_.batch_bytes, line.size()));
    }
    if (!std::exchange(gathered_, true)) begin_gathering();
    std::memcpy(out_.data() + filled_, line.data(), line.size());
    filled_ += line.size();
    return true;
}

chunk postgres_copy_reader::take() {
    out_.truncate(std::exchange(filled_, 0));
    gathered_ = false;
    return std::exchange(out_, {});
}

} // namespace headgate::db::detail
