#pragma once

#include <headgate/tabular/columns.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

// Values as text for other programs: what CSV and JSON have in common.
namespace headgate::detail {

// Room for a date and a time; a longer text is none that a database writes, and is left as it is.
using moment_text = std::array<char, 64>;

// Times as ISO 8601 and RFC 3339 write them: "2026-02-03 04:05:06+01" becomes "2026-02-03T04:05:06+01:00", "+00"
// becomes "Z". What these cannot say stays as the database writes it: "infinity", " BC" at the end, years of
// more than four digits, offsets with seconds. Of any other type: the text itself.
std::string_view moment(value_type type, std::string_view text, moment_text& room) noexcept;

// Whether the text is a number in JSON (RFC 8259, section 6).
bool is_json_number(std::string_view text) noexcept;

// Base64 (RFC 4648, section 4), with padding: 4 bytes for each 3. Gives the end of what was written.
char* write_base64(char* to, std::string_view bytes) noexcept;
// Two digits for each byte, lower case.
char* write_hex(char* to, std::string_view bytes) noexcept;
// Bytes from digits, an even number of them. Null if there is another character.
char* read_hex(char* to, std::string_view digits) noexcept;

// Bytes that may be given in hexadecimal, taken piece by piece.
class byte_pieces {
public:
    byte_pieces() = default;
    // Of a bytea or a blob. Throws std::system_error with errc::protocol if a bytea is not in hexadecimal.
    byte_pieces(value_type type, std::string_view text);

    bool ended() const noexcept { return rest_.empty(); }
    // The next bytes, a multiple of 3 unless they are the last ones; valid until the next call.
    std::string_view next();

private:
    static constexpr std::size_t piece = 3 * 1024;
    std::string_view rest_;
    bool hex_ = false;
    std::array<char, piece> decoded_; // NOLINT(cppcoreguidelines-pro-type-member-init): written before it is read
};

// An array literal of PostgreSQL, taken apart. Bounds ("[0:1]=") are passed over.
class array_reader {
public:
    enum class token : unsigned char { open, close, element, null, end, malformed };

    array_reader() = default;
    // The elements stand between `delimiter`s: a comma, but for arrays of boxes.
    explicit array_reader(std::string_view literal, char delimiter = ',');

    token next();
    // Of an element, without its quotes and backslashes; valid until the next call.
    std::string_view text() const noexcept { return text_; }
    // How much of the literal is still to be read.
    std::size_t left() const noexcept { return rest_.size(); }

private:
    token element();
    token quoted();

    std::string_view rest_;
    char delimiter_ = ',';
    std::size_t depth_ = 0;
    bool begun_ = false;
    bool after_value_ = false; // an element or an array inside has just ended
    std::string_view text_;
    std::string unescaped_;
};

} // namespace headgate::detail
