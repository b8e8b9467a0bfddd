#pragma once

#include <headgate/db/database.hpp>

#include <memory>

#include <gateway/export/options.hpp>

namespace headgate::gateway {

// A worker's connections to a source. Nothing is connected before the first query.
std::shared_ptr<db::database> open_source(const source_config& c);

} // namespace headgate::gateway
