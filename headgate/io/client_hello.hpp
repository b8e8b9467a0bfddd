#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace headgate {

// What the first bytes of a connection say, if it is TLS: read, and not answered (RFC 8446, section 4.1.2; RFC 6066,
// section 3). Nothing is decrypted: with Encrypted Client Hello the name is the public one.
struct client_hello {
    enum class state : unsigned char {
        complete,  // all of the ClientHello is there
        need_more, // it may be one: at least `needed` bytes are needed in all to know more
        other,     // it is not TLS
        malformed  // it is not as the standard says, or longer than allowed
    };
    state what = state::other;
    std::size_t needed = 0;
    std::string server_name{}; // as it was sent; empty for none
    const char* reason = "";   // why it is malformed; static text
};

// Reads the beginning of a connection strictly: whole records of at most 16 KiB, of which a ClientHello may take
// several; in it nothing but what has its place; one server name at most, of letters, digits, '-', '_' and dots, no
// longer than 255 bytes. Extensions that are not known are passed over. Takes no more than `bytes_max` bytes into
// account: what is longer is malformed.
client_hello read_client_hello(std::string_view bytes, std::size_t bytes_max);

// The alert that says that there is nobody by that name here (RFC 6066, section 3).
inline constexpr std::string_view unrecognized_name_alert{"\x15\x03\x03\x00\x02\x02\x70", 7};

} // namespace headgate
