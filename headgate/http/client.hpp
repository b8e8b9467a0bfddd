#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/stream.hpp>
#include <headgate/io/tls_context.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

// A small HTTP/1.1 client: one request, one connection, the body as a source.
namespace headgate::http {

// Limits of one fetch, beside those of the pipeline it is part of.
struct get_options {
    duration connect_timeout = std::chrono::seconds(5);
    duration first_byte_timeout = std::chrono::seconds(30); // for the response's head
    duration idle_timeout = std::chrono::seconds(30);       // with no byte of the body
    std::size_t buffer_bytes = 64 * 1024;                   // the most that is read at once
    // How TLS is spoken with an "https://" URL; none: such a one is refused, as a malformed one.
    std::optional<tls_client_context> tls{};
    std::string server_name{}; // that the server's certificate must have; empty: the URL's host
};

// A source: the body that a GET of `url` ("http://host[:port]/path", or https://) answers with. The connection is made
// when the first chunk is asked for, and is closed when the stream is dropped, at whatever point; so a pipeline's
// deadline covers all of it.
//
// Fails with errc::refused and the status line for any status but 2xx (redirects are not followed),
// errc::premature_close for a body that is cut, errc::protocol for a malformed response or URL, errc::timed_out and
// errc::idle for the limits, and the system's or the resolver's errors.
stream<chunk> get(std::string url, get_options o = {});

// What is sent to a URL, all of it at once.
struct post_request {
    std::string url; // "http://host[:port]/path", or https://
    std::string content_type;
    std::vector<std::pair<std::string, std::string>> headers{}; // beside those of framing and connection
    std::string body{};
};
struct post_answer {
    int status = 0;
    std::string retry_after{}; // the field's value; empty for none
    std::string body{};        // at most `post_answer_max` bytes of it
};
inline constexpr std::size_t post_answer_max = 64 * 1024;

// Sends a POST and gives what is answered, whatever its status. Fails as get() does, for all reasons but the status.
task<post_answer> post(post_request rq, get_options o = {});

} // namespace headgate::http
