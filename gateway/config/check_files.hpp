#pragma once

#include <string>
#include <vector>

#include <gateway/config/load.hpp>

namespace headgate::gateway {

struct file_findings {
    std::vector<config_error> errors;
    std::vector<std::string> warnings; // what can be served all the same: certificates that have expired
};

// Opens and reads every file that the configuration names. `file` is what errors call the configuration itself; they
// stand at the place of the name.
file_findings check_files(const loaded_config& c, std::string_view file);

} // namespace headgate::gateway
