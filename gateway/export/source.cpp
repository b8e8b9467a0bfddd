#include <headgate/db/sqlite.hpp>

#include <gateway/export/source.hpp>

namespace headgate::gateway {

std::shared_ptr<db::database> open_source(const source_config& c) {
    return std::make_shared<db::sqlite>(
        db::sqlite_options{.path = c.sqlite, .busy_timeout = c.busy_timeout},
        db::pool_options{.size = c.pool_size, .queue_max = c.queue_max, .acquire_timeout = c.acquire_timeout});
}

} // namespace headgate::gateway
