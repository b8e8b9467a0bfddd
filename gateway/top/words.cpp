#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include <gateway/top/words.hpp>

namespace headgate::gateway::top {

std::string bytes_text(std::uint64_t n) {
    constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    auto value = static_cast<double>(n);
    std::size_t unit = 0;
    for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
    const int digits = unit == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
    std::string text = fmt::format("{:.{}f}", value, digits);
    if (digits != 0) {
        text.erase(text.find_last_not_of('0') + 1);
        if (text.ends_with('.')) text.pop_back();
    }
    return text + " " + units[unit];
}

std::string time_text(double ms) {
    if (ms < 100) return fmt::format("{} ms", ms > 0 ? std::max(std::lround(ms), 1L) : 0);
    const double s = ms / 1000;
    if (s < 10) return fmt::format("{:.1f} s", s);
    const auto whole = static_cast<std::uint64_t>(s);
    if (whole < 60) return fmt::format("{} s", whole);
    if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
    if (whole < 86400) return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
    return fmt::format("{} d {} h", whole / 86400, whole % 86400 / 3600);
}

std::string percent_text(double share) { return fmt::format("{} %", std::lround(share * 100)); }

std::string printable(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c < ' ' || c > '~') c = '?';
    return out;
}

} // namespace headgate::gateway::top
