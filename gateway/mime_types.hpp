#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headgate::gateway {

// The media type of a file, by the extension of its name, whatever its case: from `own`, then from a small table of
// what web pages are made of, else application/octet-stream. Types of text say that they are UTF-8.
std::string_view media_type(std::string_view name, const std::vector<std::pair<std::string, std::string>>& own);

} // namespace headgate::gateway
