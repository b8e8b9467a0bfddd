#pragma once

#include <headgate/stages/json.hpp>
#include <headgate/stages/text_output.hpp>
#include <headgate/stages/value_text.hpp>

namespace headgate::detail {

// `text` as the inside of a JSON string. `to` must have room for 6 bytes for each of the text, and 16 more. Gives the
// end, and notes bytes that are not ASCII.
char* write_json_text(char* to, std::string_view text, bool& high) noexcept;

// Writes one value after the other, each in steps.
class json_value_writer {
public:
    explicit json_value_writer(text_output& out, json_options o) noexcept : out_(out), options_(o) {}

    // Begins a value. `row` and `column` are for errors. Gives whether that was all; if not, more() goes on.
    bool begin(const column& of, cell v, std::uint64_t row);
    bool more();

private:
    enum class part : unsigned char { none, text, raw, bytes };

    bool scalar(value_type type, std::string_view text);
    bool number(std::string_view text);
    bool string(std::string_view text);
    bool more_of_part();
    bool more_of_array();

    text_output& out_;
    json_options options_;
    const column* column_ = nullptr;
    std::uint64_t row_ = 0;

    part now_ = part::none; // what a long value is written as
    std::string_view rest_;
    std::string repaired_;
    byte_pieces bytes_;
    moment_text moment_{};

    bool in_array_ = false;
    bool comma_ = false; // stands before the next element
    array_reader array_;
};

} // namespace headgate::detail
