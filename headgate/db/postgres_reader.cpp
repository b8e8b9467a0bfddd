#include <headgate/db/postgres_reader.hpp>
#include <headgate/db/postgres_types.hpp>

#include <algorithm>

namespace headgate::db::detail {

namespace {

// The server's own limit comes a little later than ours: it is for the case that we cannot tell it to stop.
constexpr duration server_grace = std::chrono::seconds(1);

} // namespace

void postgres_reader::start(postgres_session& s, time_point until) {
    session_ = &s;
    until_ = until;
    s.set_running(true);
}

duration postgres_reader::patience() const noexcept {
    const duration left = left_until(until_);
    if (!gathered_) return left;
    const duration waited = executor::current().turn_time() - gathering_since_;
    return std::clamp(options_.gather - waited, duration::zero(), left);
}

void postgres_reader::nothing_came() {
    if (left_until(until_) == duration::zero())
        fail({.code = errc::timed_out, .message = "the query has taken longer than it may"});
    else
        give_on_ = true;
}

void postgres_reader::not_sent() {
    if (left_until(until_) == duration::zero()) return nothing_came();
    broke_off();
}

void postgres_reader::row_too_large(std::size_t bytes) {
    fail({.code = errc::limit_exceeded, .message = "a row of " + std::to_string(bytes) + " bytes"});
}

std::string postgres_reader::timeout_sql() const {
    if (until_ == time_point::max()) return {};
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left_until(until_) + server_grace).count();
    return "SET LOCAL statement_timeout = " + std::to_string(std::min<std::int64_t>(ms, 2'147'483'647));
}

bool postgres_reader::send(const std::string& sql, const std::vector<parameter>& values) {
    std::vector<Oid> types;
    std::vector<const char*> texts;
    for (const parameter& p : values) {
        types.push_back(postgres_oid_of(p));
        texts.push_back(p.type == value_type::null ? nullptr : p.text.c_str());
    }
    return PQsendQueryParams(conn(), sql.c_str(), static_cast<int>(values.size()), types.data(), texts.data(), nullptr,
                             nullptr, 0) == 1;
}

bool postgres_reader::finish() {
    session_->set_running(false);
    const bool out = PQpipelineStatus(conn()) == PQ_PIPELINE_OFF || PQexitPipelineMode(conn());
    if (out && PQtransactionStatus(conn()) == PQTRANS_IDLE) return true;
    fail({.code = errc::protocol, .message = "the session is not idle after the query"});
    return false;
}

} // namespace headgate::db::detail
