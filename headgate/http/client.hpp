#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/stream.hpp>

#include <string>

// A small HTTP/1.1 client: one request, one connection, the body as a source.
namespace headgate::http {

// Limits of one fetch, beside those of the pipeline it is part of.
struct get_options {
    duration connect_timeout = std::chrono::seconds(5);
    duration first_byte_timeout = std::chrono::seconds(30); // for the response's head
    duration idle_timeout = std::chrono::seconds(30);       // with no byte of the body
    std::size_t buffer_bytes = 64 * 1024;                   // the most that is read at once
};

// A source: the body that a GET of `url` ("http://host[:port]/path") answers with. The connection is made when the
// first chunk is asked for, and is closed when the stream is dropped, at whatever point; so a pipeline's deadline
// covers all of it.
//
// Fails with errc::refused and the status line for any status but 2xx (redirects are not followed),
// errc::premature_close for a body that is cut, errc::protocol for a malformed response or URL, errc::timed_out and
// errc::idle for the limits, and the system's or the resolver's errors.
stream<chunk> get(std::string url, get_options o = {});

} // namespace headgate::http
