#pragma once

#include <string>

namespace headgate::gateway {

// All keys of a configuration, as a page in Markdown: the part of docs/configuration.md that is made from the tables.
std::string config_reference();

} // namespace headgate::gateway
