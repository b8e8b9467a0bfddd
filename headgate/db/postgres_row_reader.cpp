#include <headgate/db/postgres_reader.hpp>
#include <headgate/db/postgres_types.hpp>

#include <algorithm>

namespace headgate::db::detail {

bool postgres_row_reader::send_query(const query& q, const std::vector<parameter>& values) {
    if (!PQenterPipelineMode(conn()) || !send(begin_sql())) return false;
    commands_ = 1;
    if (const std::string limit = timeout_sql(); !limit.empty()) {
        if (!send(limit)) return false;
        ++commands_;
    }
    if (options_.fetch_rows == 0) return send(q.numbered(), values) && send("COMMIT") && PQpipelineSync(conn());
    ++commands_;
    fetching_ = true;
    return send("DECLARE headgate NO SCROLL CURSOR FOR " + q.numbered(), values) &&
           send("FETCH " + std::to_string(options_.fetch_rows) + " FROM headgate") && PQpipelineSync(conn());
}

void postgres_row_reader::begin(postgres_session& s, const query& q, const std::vector<parameter>& values,
                                time_point until) {
    start(s, until);
    unsent_ = true;
    if (!send_query(q, values)) broke_off();
}

// One fetch more; or, if the last one has given fewer rows than it may, the transaction's end.
void postgres_row_reader::send_fetch() {
    fetching_ = fetched_ == options_.fetch_rows;
    fetched_ = 0;
    commands_ = 0;
    unsent_ = true;
    const bool sent =
        fetching_ ? send("FETCH " + std::to_string(options_.fetch_rows) + " FROM headgate") : send("COMMIT");
    if (!sent || !PQpipelineSync(conn())) return broke_off();
    if (fetching_) PQsetSingleRowMode(conn());
}

postgres_reader::next postgres_row_reader::step() {
    for (;;) {
        if (error_) return next::failed;
        if (std::exchange(unsent_, false)) return next::flush;
        if (gathered_ && std::exchange(give_on_, false)) return next::item;
        if (result_ && !put_rows()) return error_ ? next::failed : next::item;
        if (ended_) return finish() ? next::last : next::failed;
        if (PQisBusy(conn())) return next::wait;
        take_result();
    }
}

// Each command gives its results and then none; after the last one comes the sync.
bool postgres_row_reader::take_result() {
    postgres_result r(PQgetResult(conn()));
    if (!r) {
        if (++answered_ == commands_) PQsetSingleRowMode(conn());
        return true;
    }
    switch (PQresultStatus(r.get())) {
    case PGRES_SINGLE_TUPLE:
    case PGRES_TUPLES_OK:
        if (!std::exchange(described_, true)) {
            columns_ = columns_of(*r);
            new_batch(0);
        }
        row_ = 0;
        result_ = std::move(r);
        return true;
    case PGRES_COMMAND_OK: return true;
    case PGRES_PIPELINE_SYNC: after_sync(); return true;
    case PGRES_FATAL_ERROR:
        no_longer_running();
        fail(postgres_report(*r));
        return false;
    default:
        fail({.code = errc::protocol, .message = std::string("not a query: ") + PQresStatus(PQresultStatus(r.get()))});
        return false;
    }
}

void postgres_row_reader::after_sync() {
    answered_ = 0;
    if (fetching_)
        send_fetch();
    else
        ended_ = true;
}

void postgres_row_reader::new_batch(std::size_t row_bytes) {
    const std::size_t least = row_batch::bytes_for(columns_.size(), row_bytes);
    batch_ = row_batch(columns_, std::max(options_.batch_bytes, least));
}

// Takes rows of the result as long as there is room. False: the batch is to be given on first, or there was an error.
bool postgres_row_reader::put_rows() {
    const PGresult* const r = result_.get();
    const int n = PQntuples(r);
    const int width = static_cast<int>(columns_.size());
    for (; row_ < n; ++row_, ++fetched_) {
        std::size_t bytes = 0;
        for (int c = 0; c < width; ++c) bytes += static_cast<std::size_t>(PQgetlength(r, row_, c));
        if (!batch_.begin_row(bytes)) {
            if (gathered_) return false;
            if (bytes > options_.row_bytes_max) return row_too_large(bytes), false;
            new_batch(bytes); // the first batch, or one that was made for less
            batch_.begin_row(bytes);
        }
        if (!std::exchange(gathered_, true)) begin_gathering();
        for (int c = 0; c < width; ++c) {
            if (PQgetisnull(r, row_, c))
                batch_.add_null();
            else
                batch_.add(columns_[static_cast<std::size_t>(c)].type,
                           {PQgetvalue(r, row_, c), static_cast<std::size_t>(PQgetlength(r, row_, c))});
        }
    }
    result_.reset();
    return true;
}

row_batch postgres_row_reader::take() {
    row_batch out = std::move(batch_);
    gathered_ = false;
    told_ = true;
    if (!ended_) new_batch(0);
    return out;
}

} // namespace headgate::db::detail
