#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// A second, independent reader of HTTP/1.1 messages, to judge what the gateway lets through. It shares no code with
/// headgate/http and is as simple as can be: whole messages, copied, line by line. It takes what RFC 9112 leaves no
/// doubt about and nothing else.
namespace headgate::fuzz::strict {

enum class state : std::uint8_t { whole, unfinished, malformed };

struct message {
    state how = state::unfinished;
    std::string why; // malformed
    bool head_whole = false;
    std::size_t end = 0; // where it ends in the text; once it is whole

    std::string method; // of a request
    std::string target;
    int status = 0; // of a response
    std::string reason;
    int minor_version = 1;
    std::vector<std::pair<std::string, std::string>> fields;
    std::vector<std::pair<std::string, std::string>> trailers;
    std::string body; // what there is of it
    bool until_close = false;

    /// The values of the fields with this name, in lower case.
    std::vector<std::string> all(std::string_view name) const;
};

/// The request at `at`. One empty line before it is skipped.
message read_request(std::string_view text, std::size_t at);

/// The response at `at`, an interim one too, to a request with `method`. `ended`: the connection came to an orderly end
/// after the text.
message read_response(std::string_view text, std::size_t at, std::string_view method, bool ended);

std::string lowered(std::string_view text);

} // namespace headgate::fuzz::strict
