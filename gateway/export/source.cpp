#include <headgate/db/postgres.hpp>
#include <headgate/db/sqlite.hpp>

#include <gateway/export/source.hpp>

namespace headgate::gateway {

std::shared_ptr<db::database> open_source(const source_config& c) {
    const db::pool_options pool{.size = c.pool_size, .queue_max = c.queue_max, .acquire_timeout = c.acquire_timeout};
    if (c.dialect() == db::dialect::postgres)
        return std::make_shared<db::postgres>(db::postgres_options{.conninfo = c.postgres}, pool);
    return std::make_shared<db::sqlite>(db::sqlite_options{.path = c.sqlite, .busy_timeout = c.busy_timeout}, pool);
}

} // namespace headgate::gateway
