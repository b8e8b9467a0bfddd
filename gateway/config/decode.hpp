#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include <gateway/config/error.hpp>
#include <gateway/config/field.hpp>
#include <gateway/config/yaml.hpp>

namespace headgate::gateway {

// Where the values of a configuration stand, by their path: "routes[0].proxy.upstream". Only values that are right.
// Those of a list of texts have an entry each, and so have tables.
class config_places {
public:
    void add(std::string path, config_mark at) { places_.insert_or_assign(std::move(path), at); }
    // Null if it is not in the file.
    const config_mark* find(std::string_view path) const {
        const auto found = places_.find(path);
        return found == places_.end() ? nullptr : &found->second;
    }

    // Of elements of lists in which something is wrong: what they would mean as a whole cannot be judged.
    void doubt(std::string path) { doubted_.insert(std::move(path)); }
    bool doubtful(std::string_view path) const { return doubted_.contains(path); }

private:
    std::map<std::string, config_mark, std::less<>> places_;
    std::set<std::string, std::less<>> doubted_;
};

// "routes[2]" and "routes.name", the parts of paths.
std::string path_of(std::string_view parent, std::string_view key);
std::string path_of(std::string_view parent, std::size_t index);

// Reads the struct that `table` is about from a node. What is not in the file, or is wrong, stays as it is; what is
// wrong is added to `errors`. `defaults` is where elements of lists begin; it may be a part of `object`.
void decode(const config_table& table, const yaml_node& from, void* object, const config_defaults& defaults,
            config_places& places, config_errors& errors);

} // namespace headgate::gateway
