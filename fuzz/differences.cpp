#include <array>

#include <fuzz/differences.hpp>

namespace headgate::fuzz {

namespace {

using enum difference;

constexpr std::uint8_t heads = requests | responses;
constexpr std::uint8_t all = heads | chunked_bodies;

// clang-format off
constexpr known_difference table[] = {
    {stricter, all, 0, "bare LF: a line must end with CR LF (RFC 9112, section 2.2)",
     "a recipient may take a bare LF for a line end; one that does and one that does not see different messages"},
    {stricter, heads, 0, "bare CR: a line must end with CR LF (RFC 9112, section 2.2)",
     "a bare CR is to be refused or replaced by a space; llhttp skips what follows it"},
    {stricter, chunked_bodies, 0, "bare CR: a trailer line must end with CR LF (RFC 9112, section 7.1.2)",
     "the same in trailers"},
    {stricter, heads, 0, "control characters other than HTAB are not allowed (RFC 9110, section 5.5)",
     "controls in a start line have no meaning and reach logs and other parsers"},
    {stricter, all, all, "a field line must not start with white space; put folded values on one line (RFC 9112, section 5.2)",
     "obs-fold is to be refused or joined; parsers that know nothing of it see another field"},
    {stricter, all, 0, "a field name must not be empty (RFC 9110, section 5.1)", "a name is a token"},
    {stricter, all, 0, "no white space is allowed in a field name or before its colon (RFC 9112, section 5.1)",
     "must be refused: \"Content-Length : 5\" is a length to some and nothing to others"},
    {stricter, heads, heads, "more field lines than this gateway takes; send fewer (RFC 6585, section 5)", "a limit"},

    {stricter, requests, 0, "a request line is missing (RFC 9112, section 2.2)",
     "one empty line before a request is skipped, not any number"},
    {stricter, requests, 0, "the request target is empty (RFC 9112, section 3.2)",
     "two spaces after the method: llhttp skips them for CONNECT"},
    {stricter, requests, 0, "after the target one space and \"HTTP/1.1\" must end the line (RFC 9112, section 2.3)",
     "single spaces only"},
    {stricter, requests, 0, "the HTTP version is missing; HTTP/0.9 is not spoken here (RFC 9112, section 3)",
     "HTTP/0.9 has no fields and no framing"},
    {stricter, heads, 0, "only HTTP/1.0 and HTTP/1.1 are spoken here (RFC 9110, section 15.6.6)",
     "llhttp takes HTTP/0.9 and HTTP/2.0 by name"},
    {stricter, requests, requests, "this byte is not allowed in a request target; percent-encode it (RFC 9112, section 3.2)",
     "bytes beyond ASCII and \"#\" in a target; what an origin makes of them cannot be known"},
    {stricter, requests, requests, "the target must start with \"/\" or with \"http://\" or \"https://\" (RFC 9112, section 3.2)",
     "no other scheme can be served"},
    {stricter, requests, requests, "the target needs a valid host after \"://\", without user name (RFC 9110, section 4.2)",
     "whom the request is for must be clear; user names are to be refused (section 4.2.4)"},
    {stricter, requests, requests, "the target \"*\" belongs to OPTIONS alone (RFC 9112, section 3.2.4)", "the grammar says so"},
    {stricter, requests, requests, "CONNECT needs \"host:port\" as its target (RFC 9112, section 3.2.3)", "the grammar says so"},
    {stricter, requests, requests, "HTTP/1.1 needs a Host field (RFC 9112, section 3.2)", "must be refused"},
    {stricter, requests, requests, "Host must be sent once (RFC 9112, section 3.2)", "must be refused"},
    {stricter, requests, requests, "Host must be a name or address with an optional port (RFC 9110, section 7.2)",
     "must be refused; an empty one, too: this gateway serves nothing that has no name"},

    {stricter, responses, 0, "a status line is \"HTTP/1.1 200 OK\" (RFC 9112, section 4)",
     "llhttp takes fewer than three digits"},
    {stricter, responses, responses, "the status must be from 100 to 599 (RFC 9110, section 15)",
     "others are invalid; a client would take them for 5xx, and the gateway says 502"},

    {stricter, heads, 0, "Connection must be a list of names (RFC 9110, section 7.6.1)",
     "what is not a list of names cannot say which fields end here"},
    {stricter, heads, heads, "Content-Length must be one decimal number below 2^63 (RFC 9110, section 8.6)",
     "greater lengths overflow somewhere on the way; nobody sends them. Beast also takes a list of equal ones"},
    {stricter, heads, heads, "this field must be sent once (RFC 9112, section 6.3)",
     "equal lengths may be taken for one (RFC 9110, section 8.6); who sends two is not to be trusted with either"},
    {stricter, heads, 0, "Content-Length and Transfer-Encoding exclude each other; send one (RFC 9112, section 6.3)",
     "llhttp refuses it, too, but takes an empty Transfer-Encoding after a length for none"},
    {stricter, heads, heads, "HTTP/1.0 has no Transfer-Encoding; send Content-Length (RFC 9112, section 6.1)",
     "must be treated as faulty framing"},
    {stricter, heads, heads, "Transfer-Encoding is malformed; send \"chunked\" once (RFC 9112, section 6.1)",
     "chunked twice, or what is no coding before it"},
    {stricter, heads, heads, "no transfer coding but chunked is implemented; use Content-Encoding (RFC 9112, section 6.1)",
     "501, as section 6.1 says"},
    {stricter, heads, heads, "the last transfer coding must be chunked, without parameters (RFC 9112, section 6.3)",
     "must be refused in a request; in a response its end would be the connection's, which a cut looks like"},

    {stricter, chunked_bodies, chunked_bodies, "a chunk size has at most 16 hex digits here (RFC 9112, section 7.1)",
     "leading zeros without end; more digits overflow 64 bits"},
    {stricter, chunked_bodies, 0, "a chunk size must end with CR LF (RFC 9112, section 7.1)",
     "llhttp takes any byte for the LF"},
    {stricter, chunked_bodies, 0, "a chunk must end with CR LF, right after as many bytes as it announced (RFC 9112, section 7.1)",
     "llhttp skips two bytes, whatever they are"},
    {stricter, 0, chunked_bodies, "a chunk extension must not hold controls and must end with CR LF (RFC 9112, section 7.1.1)",
     "controls have no place in a quoted string"},

    {wider, requests, 0, "Invalid method encountered", "llhttp's methods are a list; RFC 9110, section 9.1, leaves them open"},
    {wider, requests, 0, "Expected space after method", "the same, when a method of the list is the beginning"},
    {wider, heads, 0, "Invalid HTTP version", "HTTP/1.2 to 1.9 are to be taken as HTTP/1.1 (RFC 9110, section 2.5)"},
    {wider, 0, heads, "bad version", "the same"},
    {wider, 0, responses, "bad status", "the space before an absent reason phrase may be missing, as many servers have it"},
    {wider, heads | chunked_bodies, 0, "Invalid character in Content-Length",
     "a tab after the number is white space (RFC 9110, section 5.5); in trailers, see the next"},
    {wider, chunked_bodies, 0, "Empty Content-Length",
     "llhttp and Beast take trailers for header fields; headgate drops those that have no place there (RFC 9110, section 6.5.1)"},
    {wider, chunked_bodies, 0, "Duplicate Content-Length", "the same"},
    {wider, chunked_bodies, 0, "Content-Length overflow", "the same"},
    {wider, chunked_bodies, 0, "Invalid `Transfer-Encoding` header value", "the same"},
    {wider, 0, chunked_bodies, "bad Content-Length", "the same"},
    {wider, 0, chunked_bodies, "bad Transfer-Encoding", "the same"},
    {wider, 0, chunked_bodies, "bad value", "the same, for Connection"},
    {wider, chunked_bodies, 0, "Invalid character in chunk size", "white space before an extension (RFC 9112, section 7.1.1)"},
    {wider, chunked_bodies, 0, "Invalid character in chunk extensions",
     "an extension is read as far as its end and dropped; tokens, quoted strings, \"=\" and \";\" may come in any order"},
    {wider, chunked_bodies, 0, "Invalid character in chunk extensions name", "the same"},
    {wider, chunked_bodies, 0, "Invalid character in chunk extensions value", "the same"},
    {wider, chunked_bodies, 0, "Invalid character in chunk extensions quote value", "the same"},
    {wider, chunked_bodies, 0, "Invalid character in chunk extensions quoted value",
     "the same; llhttp takes no quoted pair (RFC 9110, section 5.6.4)"},
    {wider, 0, chunked_bodies, "bad chunk extension", "the same"},

    {otherwise, responses, responses, "framing of 1xx, 204 and 304: none / length",
     "they have no body, whatever their fields say (RFC 9112, section 6.3); llhttp leaves that to its user"},
    {otherwise, responses, 0, "framing of 1xx, 204 and 304: none / chunked", "the same"},
    {otherwise, responses, responses, "keep-alive after 101: no / yes",
     "after 101 the connection is no longer HTTP/1.1 (RFC 9110, section 7.8)"},
};
// clang-format on

// In what each was met, as in known_difference.
struct meetings {
    std::uint8_t from_llhttp;
    std::uint8_t from_beast;
};
std::array<meetings, std::size(table)> met{};

} // namespace

std::span<const known_difference> known_differences() { return table; }

bool is_known(difference kind, what in, who other, std::string_view key) {
    const bool llhttp = other == who::llhttp;
    for (std::size_t i = 0; i < std::size(table); ++i) {
        const known_difference& d = table[i];
        if (d.kind != kind || ((llhttp ? d.from_llhttp : d.from_beast) & in) == 0 || d.key != key) continue;
        (llhttp ? met[i].from_llhttp : met[i].from_beast) |= in;
        return true;
    }
    return false;
}

std::string differences_not_met(what in) {
    std::string out;
    for (std::size_t i = 0; i < std::size(table); ++i) {
        if ((table[i].from_llhttp & ~met[i].from_llhttp & in) != 0) out.append("llhttp: ").append(table[i].key) += "\n";
        if ((table[i].from_beast & ~met[i].from_beast & in) != 0) out.append("Beast: ").append(table[i].key) += "\n";
    }
    return out;
}

} // namespace headgate::fuzz
