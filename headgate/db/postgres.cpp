#include <headgate/db/postgres.hpp>
#include <headgate/db/postgres_reader.hpp>

namespace headgate::db {

namespace {

using detail::after;
using detail::postgres_copy_reader;
using detail::postgres_reader;
using detail::postgres_session;

// Runs a reader: everything that waits.
stream<row_batch> read(pool* from, query q, std::vector<parameter> values, query_options o, bool read_only) {
    const time_point until = after(o.timeout);
    auto bound = q.bind(std::move(values));
    if (!bound) co_await fail(make_error_code(std::errc::invalid_argument), std::move(bound.error().message));
    lease held = co_await from->acquire(o.timeout);
    if (o.listener) o.listener->leased(*o.listener);
    auto& session = static_cast<postgres_session&>(*held);
    postgres_copy_reader copy(read_only, o);
    detail::postgres_row_reader rows(read_only, o);
    postgres_reader* reader = &rows;
    if (postgres_copy_reader::may_take(q, o)) reader = &copy;
    reader->begin(session, q, *bound, until);
    for (;;) {
        switch (reader->step()) {
        case postgres_reader::next::flush:
            if (!co_await session.flush(until)) reader->not_sent();
            break;
        case postgres_reader::next::wait: {
            const auto ready = co_await session.input(reader->patience());
            if (!ready)
                reader->nothing_came();
            else if (!session.consume())
                reader->broke_off();
            break;
        }
        case postgres_reader::next::item: co_yield reader->take(); break;
        case postgres_reader::next::failed: {
            error_report why = reader->take_error();
            co_await fail(why.code, why.text());
            break;
        }
        case postgres_reader::next::refuse:
            reader = &rows;
            reader->begin(session, q, *bound, until);
            break;
        case postgres_reader::next::last:
            held.give_back();
            if (reader->has_last()) co_yield reader->take();
            co_return;
        }
    }
}

} // namespace

postgres::postgres(postgres_options o, pool_options p) : options_(std::move(o)), pool_(*this, p) {}
postgres::~postgres() = default;

stream<row_batch> postgres::rows(query q, std::vector<parameter> values, query_options o) {
    return read(&pool_, std::move(q), std::move(values), std::move(o), options_.read_only);
}

task<std::unique_ptr<connection>> postgres::connect(duration limit) {
    co_return co_await postgres_session::open(&options_, &names_, limit);
}

} // namespace headgate::db
