#include <headgate/db/postgres_session.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <openssl/ssl.h>
#include <poll.h>

namespace headgate::db::detail {

namespace {

constexpr duration check_timeout = std::chrono::seconds(2);

// What values look like must not depend on how the server is set up.
constexpr const char* session_setup = "SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601';"
                                      "SET bytea_output = 'hex'; SET extra_float_digits = 1;"
                                      "SET standard_conforming_strings = on";

const char* text_of(const PGresult& r, int field) noexcept {
    const char* t = PQresultErrorField(&r, field);
    return t ? t : "";
}

std::string trimmed(std::string_view s) {
    while (!s.empty() && (s.back() == '\n' || s.back() == ' ')) s.remove_suffix(1);
    return std::string(s);
}

// Everything that libpq notes of a session's start, in memory. It has the key that a CancelRequest needs, which libpq
// tells in no other way.
class start_trace {
public:
    explicit start_trace(PGconn* c) noexcept : conn_(c), file_(::open_memstream(&text_, &size_)) {
        if (!file_) return;
        PQtrace(conn_, file_);
        PQsetTraceFlags(conn_, PQTRACE_SUPPRESS_TIMESTAMPS);
    }
    start_trace(const start_trace&) = delete;
    start_trace& operator=(const start_trace&) = delete;
    ~start_trace() {
        stop();
        std::free(text_); // NOLINT(cppcoreguidelines-no-malloc): open_memstream's
    }
    const char* stop() noexcept {
        if (file_) {
            PQuntrace(conn_);
            std::fclose(file_);
            file_ = nullptr;
        }
        return text_ ? text_ : "";
    }

private:
    PGconn* conn_;
    char* text_ = nullptr;
    std::size_t size_ = 0;
    std::FILE* file_;
};

// libpq has no code for what kept it from connecting. A server's word has one, which verbose messages quote: "FATAL:
// 28P01: password authentication failed". Anything else never got to a server.
std::error_code connect_error(std::string_view message) noexcept {
    std::error_code found = errc::refused;
    for (std::size_t at = message.find(":  "); at != std::string_view::npos; at = message.find(":  ", at + 1)) {
        const std::string_view state = message.substr(at + 3, 5);
        const std::error_code e = postgres_error(state);
        if (message.substr(at + 8, 2) == ": " && sqlstate(e) == state) found = e;
    }
    return found;
}

std::size_t bytes_of(const PGresult& r) noexcept {
    std::size_t bytes = 0;
    const int rows = PQntuples(&r), columns = PQnfields(&r);
    for (int i = 0; i < rows; ++i)
        for (int c = 0; c < columns; ++c) bytes += static_cast<std::size_t>(PQgetlength(&r, i, c));
    return bytes;
}

} // namespace

error_report postgres_report(const PGresult& r) {
    error_report e;
    const std::string_view state = text_of(r, PG_DIAG_SQLSTATE);
    e.code = state.empty() ? make_error_code(errc::premature_close) : postgres_error(state);
    e.severity = text_of(r, PG_DIAG_SEVERITY_NONLOCALIZED);
    e.message = text_of(r, PG_DIAG_MESSAGE_PRIMARY);
    e.detail = text_of(r, PG_DIAG_MESSAGE_DETAIL);
    e.hint = text_of(r, PG_DIAG_MESSAGE_HINT);
    const std::string_view position = text_of(r, PG_DIAG_STATEMENT_POSITION);
    std::from_chars(position.data(), position.data() + position.size(), e.position);
    if (e.message.empty()) e.message = trimmed(PQresultErrorMessage(&r));
    return e;
}

std::error_code watched_descriptor::watch(int fd) {
    release();
    const auto s = loop::current().watch(fd);
    if (!s) return s.error();
    slot_ = *s;
    return {};
}

// Events are edges: as long as there is more than libpq has read, the flag must stay. libpq reads a buffer's length at
// a time, and what TLS has decrypted but not given out yet is seen by nobody else.
bool postgres_session::consume() noexcept {
    if (!PQconsumeInput(get())) return false;
    slot& s = *socket_.get();
    if (auto* tls = static_cast<SSL*>(PQsslStruct(get(), "OpenSSL")); tls && SSL_pending(tls) > 0) {
        s.readable = true;
        return true;
    }
    pollfd p{.fd = s.fd, .events = POLLIN | POLLRDHUP, .revents = 0};
    s.readable = ::poll(&p, 1, 0) != 0;
    return true;
}

task<bool> postgres_session::flush(time_point until) {
    for (;;) {
        const int r = PQflush(get());
        if (r <= 0) co_return r == 0;
        slot& s = *socket_.get();
        s.writable = false;
        const auto room =
            co_await headgate::detail::ready_operation(s, &slot::writing, &slot::writable, left_until(until));
        if (!room) co_return false;
    }
}

error_report postgres_session::broken() {
    if (!PQisBusy(get()))
        if (const postgres_result r(PQgetResult(get())); r && PQresultStatus(r.get()) == PGRES_FATAL_ERROR)
            return postgres_report(*r);
    return {.code = errc::premature_close, .severity = "FATAL", .message = trimmed(PQerrorMessage(get()))};
}

// What an idle server says: notifications, parameters that were changed, and that it ends.
bool postgres_session::alive() noexcept {
    for (int i = 0; socket_.get()->readable; ++i)
        if (i == 16 || !consume()) return false;
    if (PQisBusy(get())) return false; // also reads what has come
    while (PGnotify* n = PQnotifies(get())) PQfreemem(n);
    return PQstatus(get()) == CONNECTION_OK && PQtransactionStatus(get()) == PQTRANS_IDLE;
}

task<bool> postgres_session::check() { co_return co_await command("SELECT 1", after(check_timeout)) && alive(); }

task<bool> postgres_session::command(const char* sql, time_point until) {
    if (!PQsendQuery(get(), sql)) co_return false;
    if (!co_await flush(until)) co_return false;
    bool good = true;
    for (;;) {
        while (PQisBusy(get())) {
            if (!co_await input(left_until(until)) || !consume()) co_return false;
        }
        const postgres_result r(PQgetResult(get()));
        if (!r) break;
        const ExecStatusType s = PQresultStatus(r.get());
        good = good && (s == PGRES_COMMAND_OK || s == PGRES_TUPLES_OK);
    }
    co_return good;
}

std::optional<address> postgres_session::server_address() const {
    const std::string host = PQhost(get()) ? PQhost(get()) : "";
    if (host.starts_with('/')) {
        const auto a = address::parse("unix:" + host + "/.s.PGSQL." + PQport(get()));
        return a ? std::optional(*a) : std::nullopt;
    }
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    if (::getpeername(PQsocket(get()), reinterpret_cast<sockaddr*>(&name), &size) != 0) return std::nullopt;
    return address(reinterpret_cast<const sockaddr*>(&name), size);
}

void postgres_session::find_cancel_key(const char* trace) noexcept {
    const char* at = std::strstr(trace, "BackendKeyData\t ");
    if (!at) return;
    at += std::strlen("BackendKeyData\t ");
    const char* const end = at + std::strcspn(at, "\n");
    std::int32_t process = 0;
    const auto [space, e] = std::from_chars(at, end, process);
    if (e != std::errc() || space == end || process != PQbackendPID(get())) return;
    cancellable_ = std::from_chars(space + 1, end, cancel_key_).ec == std::errc();
}

// A CancelRequest (PostgreSQL's protocol, section 55.7): 16 bytes on a connection of their own. The server closes it
// when it has sent the signal; from then on, no signal can hit what this session does next.
task<bool> postgres_session::cancel(time_point until) {
    const auto to = server_address();
    if (!cancellable_ || !to) co_return false;
    auto s = co_await headgate::connect(*to, left_until(until));
    if (!s) co_return false;
    std::array<char, 16> request;
    const std::array<std::uint32_t, 4> words{16, 80877102, static_cast<std::uint32_t>(PQbackendPID(get())),
                                             static_cast<std::uint32_t>(cancel_key_)};
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::uint32_t network = htonl(words[i]);
        std::memcpy(request.data() + i * sizeof network, &network, sizeof network);
    }
    if (!co_await s->write_all({request.data(), request.size()}, left_until(until))) co_return false;
    std::array<char, 16> nothing;
    const auto end = co_await s->read_some(nothing, left_until(until));
    co_return end ? *end == 0 : end.error() == std::errc::connection_reset;
}

// Throws away what is left of the results, up to the point where the server waits for a command.
task<bool> postgres_session::drain(time_point until) {
    const bool pipeline = PQpipelineStatus(get()) != PQ_PIPELINE_OFF;
    std::size_t bytes = 0;
    bool copying = false;
    for (unsigned ended = 0;;) { // how many results without an end of the pipeline
        if (bytes > drained_bytes_max_) co_return false;
        char* row = nullptr;
        const int n = copying ? PQgetCopyData(get(), &row, 1) : -1;
        if (n > 0) {
            bytes += static_cast<std::size_t>(n);
            PQfreemem(row);
            continue;
        }
        copying = copying && n == 0;
        if (copying || PQisBusy(get())) {
            if (!co_await input(left_until(until)) || !consume()) co_return false;
            continue;
        }
        const postgres_result r(PQgetResult(get()));
        if (!r) {
            if (!pipeline || ++ended > 8) co_return !pipeline;
            PQsetSingleRowMode(get()); // else the rest of the rows would be gathered before they can be counted
            continue;
        }
        ended = 0;
        const ExecStatusType s = PQresultStatus(r.get());
        if (s == PGRES_PIPELINE_SYNC) co_return true;
        if (s == PGRES_COPY_OUT)
            copying = true;
        else if (s == PGRES_COPY_IN || s == PGRES_COPY_BOTH)
            co_return false;
        bytes += bytes_of(*r);
    }
}

task<bool> postgres_session::recover() {
    const time_point until = after(cancel_timeout_);
    if (PQstatus(get()) != CONNECTION_OK) co_return false;
    if (PQtransactionStatus(get()) == PQTRANS_ACTIVE) {
        if (PQflush(get()) != 0) co_return false; // the server has not even heard all of it
        if (running_ && !co_await cancel(until)) co_return false;
        if (!co_await drain(until)) co_return false;
    }
    running_ = false;
    if (PQpipelineStatus(get()) != PQ_PIPELINE_OFF && !PQexitPipelineMode(get())) co_return false;
    if (PQtransactionStatus(get()) != PQTRANS_IDLE && !co_await command("ROLLBACK", until)) co_return false;
    co_return alive();
}

// libpq may close its socket and open another, under the same number, whenever it is asked to go on: so it is watched
// anew each time.
task<> postgres_session::establish(const std::vector<const char*>* keys, const std::vector<const char*>* values,
                                   time_point until) {
    conn_.reset(PQconnectStartParams(keys->data(), values->data(), 1));
    if (!conn_) throw std::bad_alloc();
    PQsetNoticeReceiver(get(), [](void*, const PGresult*) {}, nullptr);
    PQsetErrorVerbosity(get(), PQERRORS_VERBOSE); // for connect_error
    start_trace trace(get());
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    while (PQstatus(get()) != CONNECTION_BAD && next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
        if (const std::error_code e = socket_.watch(PQsocket(get()))) co_await fail(e, "connecting to PostgreSQL");
        const bool reads = next == PGRES_POLLING_READING;
        const auto ready =
            co_await headgate::detail::ready_operation(*socket_.get(), reads ? &slot::reading : &slot::writing,
                                                       reads ? &slot::readable : &slot::writable, left_until(until));
        if (!ready) co_await fail(ready.error(), "connecting to PostgreSQL");
        socket_.release();
        next = PQconnectPoll(get());
    }
    if (PQstatus(get()) != CONNECTION_OK) {
        co_await fail(connect_error(PQerrorMessage(get())), trimmed(PQerrorMessage(get())));
    }
    find_cancel_key(trace.stop());
    if (const std::error_code e = socket_.watch(PQsocket(get()))) co_await fail(e, "connecting to PostgreSQL");
    if (PQsetnonblocking(get(), 1) != 0 || !co_await command(session_setup, until))
        co_await fail(executor::current().now() < until ? errc::premature_close : errc::timed_out,
                      "setting up a session: " + trimmed(PQerrorMessage(get())));
}

task<std::unique_ptr<postgres_session>> postgres_session::open(const postgres_options* o, resolver* names,
                                                               duration limit) {
    const time_point until = after(std::min(limit, o->connect_timeout));
    const postgres_hosts hosts = co_await resolve_hosts(o->conninfo, names, until);
    std::vector<const char*> keys{"dbname", "client_encoding", "fallback_application_name"};
    std::vector<const char*> values{o->conninfo.c_str(), "UTF8", "headgate"};
    if (hosts.changed) {
        keys.insert(keys.end(), {"host", "hostaddr", "port"});
        values.insert(values.end(), {hosts.host.c_str(), hosts.hostaddr.c_str(), hosts.port.c_str()});
    }
    keys.push_back(nullptr);
    values.push_back(nullptr);
    auto s = std::make_unique<postgres_session>(*o);
    co_await s->establish(&keys, &values, until);
    co_return s;
}

} // namespace headgate::db::detail
