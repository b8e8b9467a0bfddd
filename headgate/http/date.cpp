#include <headgate/http/date.hpp>

#include <array>
#include <chrono>
#include <ctime>

namespace headgate::http {

namespace {

constexpr std::array<std::string_view, 7> days{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
constexpr std::array<std::string_view, 7> long_days{"Monday", "Tuesday",  "Wednesday", "Thursday",
                                                    "Friday", "Saturday", "Sunday"};
constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

// Takes a date apart from its front; once something is not as it must be, `good` is false for ever.
class scanner {
public:
    explicit scanner(std::string_view text) : text_(text) {}

    void literal(std::string_view wanted) {
        good_ = good_ && text_.starts_with(wanted);
        if (good_) text_.remove_prefix(wanted.size());
    }
    template <std::size_t N>
    int one_of(const std::array<std::string_view, N>& names) {
        for (std::size_t i = 0; good_ && i < N; ++i)
            if (text_.starts_with(names[i])) {
                text_.remove_prefix(names[i].size());
                return static_cast<int>(i);
            }
        good_ = false;
        return 0;
    }
    int number(std::size_t digits) {
        int value = 0;
        for (std::size_t i = 0; i < digits; ++i) {
            good_ = good_ && !text_.empty() && text_.front() >= '0' && text_.front() <= '9';
            if (!good_) return 0;
            value = value * 10 + (text_.front() - '0');
            text_.remove_prefix(1);
        }
        return value;
    }
    void time(int& hour, int& minute, int& second) {
        hour = number(2), literal(":"), minute = number(2), literal(":"), second = number(2);
    }
    // A day of the month whose first digit may be a space.
    int padded_day() {
        if (!text_.starts_with(' ')) return number(2);
        text_.remove_prefix(1);
        return number(1);
    }
    bool all() const { return good_ && text_.empty(); }

private:
    std::string_view text_;
    bool good_ = true;
};

struct parts {
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;

    std::optional<std::int64_t> seconds() const {
        using namespace std::chrono;
        const year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month + 1)),
                                  std::chrono::day(static_cast<unsigned>(day))};
        if (!date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt; // 60: a leap second
        return sys_days(date).time_since_epoch() / std::chrono::seconds(1) + hour * 3600 + minute * 60 + second;
    }
};

std::optional<std::int64_t> fixed(std::string_view text) {
    scanner s(text);
    parts p;
    s.one_of(days), s.literal(", "), p.day = s.number(2), s.literal(" "), p.month = s.one_of(months), s.literal(" ");
    p.year = s.number(4), s.literal(" "), s.time(p.hour, p.minute, p.second), s.literal(" GMT");
    return s.all() ? p.seconds() : std::nullopt;
}

std::optional<std::int64_t> rfc850(std::string_view text, std::int64_t now) {
    scanner s(text);
    parts p;
    s.one_of(long_days), s.literal(", "), p.day = s.number(2), s.literal("-"), p.month = s.one_of(months);
    s.literal("-"), p.year = s.number(2), s.literal(" "), s.time(p.hour, p.minute, p.second), s.literal(" GMT");
    if (!s.all()) return std::nullopt;
    const std::chrono::year_month_day today{
        std::chrono::floor<std::chrono::days>(std::chrono::sys_seconds(std::chrono::seconds(now)))};
    const int this_year = static_cast<int>(today.year());
    p.year += this_year - this_year % 100;
    if (p.year > this_year + 50) p.year -= 100;
    if (p.year <= this_year - 50) p.year += 100;
    return p.seconds();
}

std::optional<std::int64_t> asctime_form(std::string_view text) {
    scanner s(text);
    parts p;
    s.one_of(days), s.literal(" "), p.month = s.one_of(months), s.literal(" "), p.day = s.padded_day();
    s.literal(" "), s.time(p.hour, p.minute, p.second), s.literal(" "), p.year = s.number(4);
    return s.all() ? p.seconds() : std::nullopt;
}

} // namespace

std::string format_date(std::int64_t seconds) {
    const time_t t = seconds;
    tm parts{};
    ::gmtime_r(&t, &parts);
    char text[64];
    return {text, ::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

std::optional<std::int64_t> parse_date(std::string_view text, std::int64_t now) {
    if (const auto t = fixed(text)) return t;
    if (const auto t = rfc850(text, now)) return t;
    return asctime_form(text);
}

} // namespace headgate::http
