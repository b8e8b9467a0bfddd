#pragma once

#include <headgate/core/timer.hpp>

#include <concepts>
#include <optional>
#include <string>
#include <string_view>

namespace headgate::gateway::admin {

// Writes JSON text: values in the order in which they are given, with commas where they belong. Text that is not UTF-8
// is repaired (U+FFFD).
class json_writer {
public:
    json_writer& begin_object() { return open('{'); }
    json_writer& end_object() { return close('}'); }
    json_writer& begin_array() { return open('['); }
    json_writer& end_array() { return close(']'); }
    json_writer& key(std::string_view name);

    json_writer& value(std::string_view text);
    json_writer& value(const char* text) { return text ? value(std::string_view(text)) : null(); }
    json_writer& value(bool on) { return raw(on ? "true" : "false"); }
    json_writer& value(std::integral auto n) { return raw(std::to_string(n)); }
    json_writer& value(double n); // three decimals at most
    // In milliseconds.
    json_writer& value(duration d) { return value(std::chrono::duration<double, std::milli>(d).count()); }
    template <class T>
    json_writer& value(const std::optional<T>& v) {
        return v ? value(*v) : null();
    }
    json_writer& null() { return raw("null"); }
    // JSON that is there already.
    json_writer& raw(std::string_view json);

    template <class T>
    json_writer& field(std::string_view name, const T& v) {
        key(name);
        return value(v);
    }
    // Null if there is none.
    json_writer& text_field(std::string_view name, std::string_view text) {
        key(name);
        return text.empty() ? null() : value(text);
    }

    std::string take() { return std::move(out_); }

private:
    json_writer& open(char c);
    json_writer& close(char c);
    void separate();
    void write_text(std::string_view text);

    std::string out_;
    bool comma_ = false; // is due before the next value or key
};

} // namespace headgate::gateway::admin
