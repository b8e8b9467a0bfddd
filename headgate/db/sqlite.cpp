#include <headgate/db/sqlite.hpp>
#include <headgate/db/sqlite_session.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <limits>
#include <optional>

namespace headgate::db {

namespace {

using detail::interruptible;
using detail::sqlite_report;
using detail::sqlite_session;
using detail::sqlite_statement;

constexpr std::size_t number_text_max = 32; // of an integer or a double

// Good to a few milliseconds and cheap enough to ask for each row.
time_point coarse_now() noexcept {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return time_point(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

// A query that runs: what goes to the offload thread and comes back. It stays where it is, and its lease is given back
// or dropped on the loop's thread.
struct running_query {
    lease held;
    sqlite_session* session = nullptr;
    query what;
    std::vector<parameter> values;
    query_options options;

    sqlite_statement statement;  // finalized before the lease ends
    std::vector<column> columns; // names are SQLite's, until the first step
    row_batch batch;
    std::size_t needs = 0; // the size of a row that waits for a larger batch
    bool row_waits = false;
    bool ended = false;
    std::optional<error_report> failed;

    void prepare();
    void bind_all();
    void fill();

private:
    void fail() { failed = sqlite_report(session->get()); }
    bool put_row() noexcept;
    std::size_t row_bytes() noexcept;
    void put_cell(int column) noexcept;
};

void running_query::prepare() {
    sqlite3_stmt* s = nullptr;
    const std::string& sql = what.sql();
    const int r = sqlite3_prepare_v2(session->get(), sql.c_str(), static_cast<int>(sql.size() + 1), &s, nullptr);
    statement.reset(s);
    if (r != SQLITE_OK || !s) return fail();
    if (!sqlite3_stmt_readonly(s)) {
        failed = error_report{.code = sqlite_error(SQLITE_READONLY), .message = "the statement would write"};
        return;
    }
    bind_all();
    const int n = sqlite3_column_count(s);
    for (int i = 0; i < n; ++i) {
        const char* name = sqlite3_column_name(s, i);
        columns.push_back({.name = name ? name : ""});
    }
}

template <class Number>
std::optional<Number> read_number(std::string_view text) noexcept {
    Number n{};
    const auto [end, e] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (e != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return n;
}

int bind_value(sqlite3_stmt* s, int at, const parameter& p) noexcept {
    const auto size = static_cast<sqlite3_uint64>(p.text.size());
    switch (p.type) {
    case value_type::null: return sqlite3_bind_null(s, at);
    case value_type::blob: return sqlite3_bind_blob64(s, at, p.text.data(), size, SQLITE_STATIC);
    case value_type::boolean: return sqlite3_bind_int(s, at, p.text.starts_with('t') || p.text == "1");
    case value_type::integer:
        if (const auto n = read_number<std::int64_t>(p.text)) return sqlite3_bind_int64(s, at, *n);
        return SQLITE_MISMATCH;
    case value_type::floating:
        if (const auto n = read_number<double>(p.text)) return sqlite3_bind_double(s, at, *n);
        return SQLITE_MISMATCH;
    default: return sqlite3_bind_text64(s, at, p.text.data(), size, SQLITE_STATIC, SQLITE_UTF8);
    }
}

// SQLite numbers names as we do, but knows a few ways to write parameters that a query does not: each of its own must
// have got a value.
void running_query::bind_all() {
    sqlite3_stmt* s = statement.get();
    const auto count = static_cast<std::size_t>(sqlite3_bind_parameter_count(s));
    if (count != values.size()) {
        failed = error_report{.code = sqlite_error(SQLITE_RANGE), .message = "SQLite sees other parameters"};
        return;
    }
    for (std::size_t i = 0; i < count; ++i) {
        const int r = bind_value(s, static_cast<int>(i + 1), values[i]);
        if (r == SQLITE_OK) continue;
        failed = error_report{.code = sqlite_error(r), .message = "the value of parameter " + values[i].name};
        return;
    }
}

std::size_t running_query::row_bytes() noexcept {
    sqlite3_stmt* s = statement.get();
    std::size_t bytes = 0;
    const int n = sqlite3_column_count(s);
    for (int i = 0; i < n; ++i) {
        const int type = sqlite3_column_type(s, i);
        if (type == SQLITE_TEXT || type == SQLITE_BLOB)
            bytes += static_cast<std::size_t>(sqlite3_column_bytes(s, i));
        else if (type != SQLITE_NULL)
            bytes += number_text_max;
    }
    return bytes;
}

void running_query::put_cell(int i) noexcept {
    sqlite3_stmt* s = statement.get();
    std::array<char, number_text_max> text;
    const auto put_number = [&](value_type type, auto number) {
        const char* end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
        batch.add(type, {text.data(), static_cast<std::size_t>(end - text.data())});
    };
    // Columns have no types: it is the point that tells a real number from an integer.
    const auto put_real = [&](double d) {
        char* end = std::to_chars(text.data(), text.data() + text.size(), d).ptr;
        const std::string_view written(text.data(), static_cast<std::size_t>(end - text.data()));
        if (written.find_first_not_of("-0123456789") == std::string_view::npos) end = std::copy_n(".0", 2, end);
        batch.add(value_type::floating, {text.data(), static_cast<std::size_t>(end - text.data())});
    };
    const auto size = [&] { return static_cast<std::size_t>(sqlite3_column_bytes(s, i)); };
    switch (sqlite3_column_type(s, i)) {
    case SQLITE_INTEGER: return put_number(value_type::integer, std::int64_t{sqlite3_column_int64(s, i)});
    case SQLITE_FLOAT: {
        const double d = sqlite3_column_double(s, i);
        if (d > std::numeric_limits<double>::max()) return batch.add(value_type::floating, "Infinity");
        if (d < std::numeric_limits<double>::lowest()) return batch.add(value_type::floating, "-Infinity");
        return put_real(d);
    }
    case SQLITE_TEXT:
        return batch.add(value_type::text, {reinterpret_cast<const char*>(sqlite3_column_text(s, i)), size()});
    case SQLITE_BLOB: {
        const auto* bytes = static_cast<const char*>(sqlite3_column_blob(s, i)); // null if it is empty
        return batch.add(value_type::blob, bytes ? std::string_view(bytes, size()) : std::string_view());
    }
    default: return batch.add_null();
    }
}

// Gives whether there was room.
bool running_query::put_row() noexcept {
    const std::size_t bytes = row_bytes();
    const int n = sqlite3_column_count(statement.get());
    if (!batch.begin_row(bytes)) {
        needs = row_batch::bytes_for(static_cast<std::size_t>(n), bytes);
        return false;
    }
    for (int i = 0; i < n; ++i) put_cell(i);
    return true;
}

// Steps until the batch is full, or has been gathered for long enough, or the result ends.
void running_query::fill() {
    const time_point begin = coarse_now();
    for (needs = 0;;) {
        if (!row_waits) {
            const int r = sqlite3_step(statement.get());
            if (r == SQLITE_DONE) {
                ended = true;
                statement.reset(); // and with it the lock on the file
                session->set_deadline(time_point::max());
                return;
            }
            if (r != SQLITE_ROW) return fail();
            row_waits = true;
        }
        if (!put_row()) return;
        row_waits = false;
        if (coarse_now() - begin >= options.gather) return;
    }
}

std::error_code code_of(const error_report& r) noexcept {
    return r.code == sqlite_error(SQLITE_INTERRUPT) ? make_error_code(errc::timed_out) : r.code;
}

stream<row_batch> run(pool* from, query q, std::vector<parameter> values, query_options o) {
    const executor& clock = executor::current();
    const time_point until = o.timeout == forever ? time_point::max() : clock.turn_time() + o.timeout;
    auto bound = q.bind(std::move(values));
    if (!bound) co_await fail(make_error_code(std::errc::invalid_argument), std::move(bound.error().message));

    auto r = std::make_unique<running_query>();
    r->held = co_await from->acquire(o.timeout);
    if (o.listener) o.listener->leased(*o.listener);
    auto& session = static_cast<sqlite_session&>(*r->held);
    r->session = &session;
    r->what = std::move(q);
    r->values = std::move(*bound);
    r->options = o;
    session.set_deadline(until);
    r = co_await interruptible(session, [r = std::move(r)]() mutable {
        r->prepare();
        return std::move(r);
    });
    if (r->failed) co_await fail(code_of(*r->failed), r->failed->text());

    const column_set columns(r->columns);
    for (bool told = false; !r->ended;) {
        if (r->needs > o.row_bytes_max)
            co_await fail(errc::limit_exceeded, "a row of " + std::to_string(r->needs) + " bytes");
        r->batch = row_batch(columns, std::max(o.batch_bytes, r->needs));
        r = co_await interruptible(session, [r = std::move(r)]() mutable {
            r->fill();
            return std::move(r);
        });
        if (r->failed) co_await fail(code_of(*r->failed), r->failed->text());
        if (r->ended) r->held.give_back();
        if (r->batch.empty() && (!r->ended || told)) continue;
        told = true;
        co_yield std::move(r->batch);
    }
}

} // namespace

sqlite::sqlite(sqlite_options o, pool_options p) : options_(std::move(o)), pool_(*this, p) {}

stream<row_batch> sqlite::rows(query q, std::vector<parameter> values, query_options o) {
    return run(&pool_, std::move(q), std::move(values), o);
}

task<std::unique_ptr<connection>> sqlite::connect(duration) {
    auto opened = co_await offload([o = options_] { return sqlite_session::open(o.path, o.busy_timeout); });
    if (!opened) co_await fail(opened.error().code, opened.error().text());
    co_return std::move(*opened);
}

} // namespace headgate::db
