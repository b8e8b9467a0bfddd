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
    // Null if there is nothing to change.
    const header_edits* if_any() const noexcept { return empty() ? nullptr : this; }
    bool operator==(const header_edits&) const = default;
};

} // namespace headgate::gateway
