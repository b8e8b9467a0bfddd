#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <gateway/config/error.hpp>

namespace headgate::gateway {

struct text_fault {
    config_mark at;
    std::string message;
};

// The first thing in a configuration that is no plain text: bytes that are not UTF-8, control characters, a carriage
// return that ends no line; and YAML directives, which no configuration needs. libfyaml 0.7.12 is not given such text:
// it does not come back from a malformed directive before a byte that is not UTF-8.
std::optional<text_fault> find_fault(std::string_view text);

} // namespace headgate::gateway
