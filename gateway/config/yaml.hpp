#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <gateway/config/error.hpp>

namespace headgate::gateway {

// A value of a YAML document, with its place. Scalars are text: what they must be is the reader's to know.
struct yaml_node {
    enum class type : std::uint8_t { null, scalar, list, map };

    type what = type::null;
    bool secret = false; // text holds what a file said, and must not be shown
    bool broken = false; // has no value, for a reason that has been told
    config_mark at;
    std::string text;               // of a scalar, with its variables put in (interpolate.hpp)
    std::string written;            // the same as it stands in the file, if that is something else
    std::vector<yaml_node> keys{};  // of a map: scalars, each once
    std::vector<yaml_node> items{}; // of a list; of a map, one for each key

    bool scalar() const noexcept { return what == type::scalar; }
    bool list() const noexcept { return what == type::list; }
    bool map() const noexcept { return what == type::map; }

    // "a list", "a word or number", and so on.
    std::string_view kind() const noexcept;
    // The text in quotes, harmless to print; of a secret what the file says instead.
    std::string shown() const;
    // Whether it, or anything in it, is broken.
    bool has_broken() const noexcept;
    // The value of a key of a map; null if there is none.
    const yaml_node* find(std::string_view key) const noexcept;
};

inline constexpr std::size_t yaml_bytes_max = 4 << 20;
inline constexpr std::size_t yaml_nodes_max = 200'000; // what aliases stand for counts each time
inline constexpr std::size_t yaml_depth_max = 32;

// Reads one YAML 1.2 document; null if it is empty. What is wrong is added to `errors`: what YAML does not allow (only
// the first such thing is known), duplicate keys (all; the first of them stays), keys that are not scalars, tags, a
// second document, more nodes or levels than the limits above.
yaml_node parse_yaml(std::string_view text, config_errors& errors);

} // namespace headgate::gateway
