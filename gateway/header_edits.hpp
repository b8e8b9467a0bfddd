#pragma once

#include <string>
#include <utility>
#include <vector>

namespace headgate::gateway {

// Fields to change in a head that is passed on: first `remove`, then `set` (replaces all of that name), then `add`.
struct header_edits {
    std::vector<std::string> remove{};
    std::vector<std::pair<std::string, std::string>> set{};
    std::vector<std::pair<std::string, std::string>> add{};

    bool empty() const noexcept { return remove.empty() && set.empty() && add.empty(); }
    bool operator==(const header_edits&) const = default;
};

} // namespace headgate::gateway
