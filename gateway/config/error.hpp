#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headgate::gateway {

// A place in a configuration file: line and column (in characters), both from 1. Line 0: the file as a whole.
struct config_mark {
    std::uint32_t line = 0;
    std::uint32_t column = 0;
    auto operator<=>(const config_mark&) const = default;
};

// One thing that is wrong in a configuration.
struct config_error {
    std::string file;
    config_mark at;
    std::string message;   // what is wrong and what would be right; one line
    std::string source;    // the line of the file, cut to what fits a screen, harmless to print; may be empty
    std::size_t caret = 0; // where in `source`, in columns

    // "file:3:7: message", the line of the file, and a caret below the place. No newline at the end.
    std::string text() const;
};

// All of them, each with a newline at its end.
std::string format_errors(std::span<const config_error> errors);

// Collects what is wrong in one file. Keeps 1,000 and counts the rest.
class config_errors {
public:
    // Of `text`, which must outlive this.
    config_errors(std::string_view file, std::string_view text);

    void add(config_mark at, std::string message);

    // A value that must not be shown: what quotes it, whole, says so instead.
    void hide(std::string_view value);

    bool empty() const noexcept { return count_ == 0; }
    // What is added now is only counted: its message need not be made.
    bool full() const noexcept { return found_.size() == kept_max; }
    std::size_t count() const noexcept { return count_; }

    // In the order of the file, 50 at most; if there are more, a last one says how many.
    std::vector<config_error> take() &&;

    static constexpr std::size_t kept_max = 1000;
    static constexpr std::size_t shown_max = 50;

private:
    struct found {
        config_mark at;
        std::string message;
    };

    void point_at(config_error& e) const;
    std::string without_hidden(std::string message) const;

    std::string file_;
    std::vector<std::string_view> lines_;
    std::vector<found> found_;
    std::vector<std::string> hidden_; // in quotes
    std::size_t count_ = 0;
};

// Text from outside in a form that is harmless to print: control characters become '?'; cut if it is very long.
std::string printable(std::string_view text);

} // namespace headgate::gateway
