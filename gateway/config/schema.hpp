#pragma once

#include <string>

namespace headgate::gateway {

// What a configuration may look like, as a JSON Schema (2020-12), for editors and other tools. It knows the keys and
// the forms of values; that names refer to something, only `headgate validate` knows.
std::string config_schema();

} // namespace headgate::gateway
