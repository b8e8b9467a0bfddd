#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <gateway/top/terminal.hpp>

namespace headgate::gateway::top {

namespace {

constexpr std::string_view enter_screen = "\x1b[?1049h\x1b[?25l\x1b[2J";
constexpr std::string_view leave_screen = "\x1b[0m\x1b[?25h\x1b[?1049l";
constexpr std::size_t sequence_max = 8;

} // namespace

terminal::terminal(int input, int output) : in_(input), out_(output) {
    if (::isatty(in_) == 0 || ::isatty(out_) == 0 || ::tcgetattr(in_, &before_) != 0)
        throw std::runtime_error("this needs a terminal; `headgate flows` does without");
    enter();
}

void terminal::enter() {
    if (std::exchange(entered_, true)) return;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO); // Ctrl-C and Ctrl-Z stay signals
    raw.c_iflag &= ~static_cast<tcflag_t>(IXON);
    raw.c_cc[VMIN] = 0; // a read gives what there is
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(in_, TCSANOW, &raw);
    write(enter_screen);
    forget();
}

void terminal::leave() noexcept {
    if (!std::exchange(entered_, false)) return;
    write(leave_screen);
    ::tcsetattr(in_, TCSANOW, &before_);
}

screen_size terminal::size() const {
    winsize w{};
    if (::ioctl(out_, TIOCGWINSZ, &w) != 0 || w.ws_col == 0 || w.ws_row == 0) return {};
    return {w.ws_col, w.ws_row};
}

bool terminal::busy() const noexcept {
    int waiting = 0;
    return ::ioctl(out_, TIOCOUTQ, &waiting) == 0 && waiting > 0;
}

void terminal::show(const std::vector<std::string>& lines) {
    std::string out;
    if (shown_.size() != lines.size()) {
        out = "\x1b[2J";
        shown_.assign(lines.size(), {});
    }
    for (std::size_t i = 0; i < lines.size(); ++i)
        if (lines[i] != shown_[i]) out += fmt::format("\x1b[{};1H{}\x1b[K", i + 1, lines[i]);
    shown_ = lines;
    write(out);
}

void terminal::write(std::string_view text) noexcept {
    while (!text.empty()) {
        const ssize_t n = ::write(out_, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return; // it is gone; SIGHUP says so, too
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

std::vector<pressed> key_reader::feed(std::string_view bytes) {
    std::vector<pressed> out;
    for (const char c : bytes) {
        if (pending()) {
            if (const auto p = in_sequence(c)) out.push_back(*p);
        } else if (c == '\x1b') {
            sequence_ = c;
        } else if (c == '\r' || c == '\n') {
            out.push_back({key::enter});
        } else if (c == '\x7f' || c == '\b') {
            out.push_back({key::erase});
        } else if (c >= ' ' && c <= '~') {
            out.push_back({key::text, c});
        }
    }
    return out;
}

std::optional<pressed> key_reader::in_sequence(char c) {
    static constexpr std::array<std::pair<std::string_view, key>, 16> known{{{"[A", key::up},
                                                                             {"[B", key::down},
                                                                             {"OA", key::up},
                                                                             {"OB", key::down},
                                                                             {"[5~", key::page_up},
                                                                             {"[6~", key::page_down},
                                                                             {"[H", key::home},
                                                                             {"[F", key::end},
                                                                             {"OH", key::home},
                                                                             {"OF", key::end},
                                                                             {"[1~", key::home},
                                                                             {"[4~", key::end},
                                                                             {"[7~", key::home},
                                                                             {"[8~", key::end},
                                                                             {"OM", key::enter},
                                                                             {"\x1b", key::escape}}};
    sequence_ += c;
    const std::string_view after = std::string_view(sequence_).substr(1);
    for (const auto& [text, what] : known)
        if (after == text) {
            sequence_.clear();
            return pressed{what};
        }
    // One that we do not know ends with a letter or ~.
    const bool more = after == "[" || after == "O" || (after.starts_with('[') && c >= ' ' && c < '@');
    if (!more || sequence_.size() > sequence_max) sequence_.clear();
    return std::nullopt;
}

std::vector<pressed> key_reader::timed_out() {
    const bool alone = sequence_ == "\x1b";
    sequence_.clear();
    return alone ? std::vector<pressed>{{key::escape}} : std::vector<pressed>{};
}

} // namespace headgate::gateway::top
