#pragma once

#include <headgate/io/open_file.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gateway/request.hpp>
#include <gateway/worker.hpp>

namespace headgate::gateway {

// What serving a file uses of its route. All of it outlives that.
struct file_route {
    worker& on;
    const static_action& action;
    const files::folder& root;
    std::string_view prefix; // of the path, which is not part of the file's; empty or as the route has it
};

// An answer that is not a file.
struct file_refusal {
    int status;
    std::string detail;
    std::vector<std::pair<std::string, std::string>> fields{}; // to be added
};

// The path of a file below the root: decoded, relative, without a slash at its end; empty for the root itself. `path`
// is normal. Nothing if no file that may be served can have it: it is not encoded as it should be, a name in it would
// have a NUL or a slash, or a name begins with a dot. Then `hidden` must be true, or it be "/.well-known" (RFC 8615).
std::optional<std::string> path_below(std::string_view path, std::string_view prefix, bool hidden);

// Answers a GET or HEAD request, whose head has been parsed, with a file: all of it, or the parts that it asks for, or
// 304 (RFC 9110, sections 13 and 14). Gives nothing when that has been sent, else what is to be answered instead: 301
// for a folder without its slash, 403, 404, 412, 416.
//
// The open file and the watch on the client are in its frame. It fails, at once, when the client leaves, takes too
// little, or the worker aborts, with side::sink; and when the file cannot be read, or has become shorter than was
// announced, with side::source.
task<std::optional<file_refusal>> serve_file(request& rq, file_route r);

} // namespace headgate::gateway
