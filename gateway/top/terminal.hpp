#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <termios.h>

#include <gateway/top/screen.hpp>

namespace headgate::gateway::top {

// The terminal as a screen: keys come one by one, and what is shown has a page of its own. Gives the terminal back as
// it was when it is destroyed.
class terminal {
public:
    // Throws std::runtime_error if these are no terminal.
    terminal(int input, int output);
    terminal(const terminal&) = delete;
    terminal& operator=(const terminal&) = delete;
    ~terminal() { leave(); }

    screen_size size() const;
    // Writes only the lines that differ from those that were shown before.
    void show(const std::vector<std::string>& lines);
    // Everything will be written anew.
    void forget() noexcept { shown_.clear(); }
    // Whether what was written last is still on its way, over a slow line.
    bool busy() const noexcept;

    void enter();
    void leave() noexcept;

private:
    void write(std::string_view text) noexcept;

    int in_, out_;
    termios before_{};
    bool entered_ = false;
    std::vector<std::string> shown_;
};

enum class key : char { up, down, page_up, page_down, home, end, enter, escape, erase, text };

struct pressed {
    key what;
    char text = 0; // with key::text: a printable ASCII character
};

// Makes keys of what a terminal sends. A sequence may come in pieces.
class key_reader {
public:
    std::vector<pressed> feed(std::string_view bytes);
    // Whether an Escape has come that may be the beginning of a sequence.
    bool pending() const noexcept { return !sequence_.empty(); }
    // Nothing followed it: it was the key.
    std::vector<pressed> timed_out();

private:
    std::optional<pressed> in_sequence(char c);
    std::string sequence_;
};

} // namespace headgate::gateway::top
