#include <atomic>
#include <cstdio>

#include <gateway/tell.hpp>

namespace headgate::gateway {

namespace {

std::atomic<log_level> level = log_level::info; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

} // namespace

void set_log_level(log_level l) noexcept { level.store(l, std::memory_order_relaxed); }
log_level wanted_level() noexcept { return level.load(std::memory_order_relaxed); }
bool wanted(log_level l) noexcept { return l <= wanted_level(); }

void tell(log_level l, std::string_view lines) noexcept {
    if (wanted(l)) std::fwrite(lines.data(), 1, lines.size(), stderr);
}

} // namespace headgate::gateway
