#pragma once

#include <string>
#include <string_view>

namespace headgate::gateway {

// Paths as routes see them: the same for all spellings that mean the same. A service behind the gateway normalises what
// it is sent, one way or the other; a route that could be got round by another spelling would protect nothing.

// Whether `path` is normal already: most are, and then nothing needs to be made.
bool is_normal_path(std::string_view path) noexcept;

// The normal spelling of a request's path, which begins with '/' (RFC 3986, section 6.2.2): "%41" is "A" and "%2f" is
// "%2F"; "." and ".." segments, however they are encoded, are resolved, and ".." never leaves the root; several slashes
// are one. Anything else, "*" above all, is left as it is.
std::string normal_path(std::string_view path);

// The byte that a "%41" at text[percent] stands for; -1 if it is not of that form.
int encoded_byte(std::string_view text, std::size_t percent) noexcept;

// Whether `path` is `prefix` or begins with it and a '/': "/api" and "/api/" hold "/api" and "/api/x", not "/apis".
bool has_path_prefix(std::string_view path, std::string_view prefix) noexcept;

} // namespace headgate::gateway
