#pragma once

#include <span>
#include <string_view>

// The page that shows what the gateway does: the files of dashboard/, which are in the program.
namespace headgate::gateway::admin {

struct asset {
    std::string_view path; // begins with a slash
    std::string_view bytes;
    std::string_view content_type;
    std::string_view etag; // of the bytes, with its quotes
};

// All of them.
std::span<const asset> page_assets() noexcept;

// The file at this path of a request, without its query; `/` is the page itself. Null if there is none.
const asset* find_asset(std::string_view path) noexcept;

// What every file must be sent with, as Content-Security-Policy: the page loads and asks nobody but its own server,
// runs no script that is not a file of it, and is shown in no other page.
inline constexpr std::string_view page_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

} // namespace headgate::gateway::admin
