#include <algorithm>

#include <gateway/admin/page_assets.hpp>

namespace headgate::gateway::admin {

namespace {

// Written by cmake/EmbedPage.cmake.
constexpr asset files[] = {
#include <page_files.inc>
};

} // namespace

std::span<const asset> page_assets() noexcept { return files; }

const asset* find_asset(std::string_view path) noexcept {
    if (path == "/") path = "/index.html";
    const auto* found = std::ranges::find(files, path, &asset::path);
    return found == std::end(files) ? nullptr : found;
}

} // namespace headgate::gateway::admin
