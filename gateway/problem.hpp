#pragma once

#include <headgate/core/chunk.hpp>

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gateway/header_edits.hpp>

namespace headgate::gateway {

// An answer of headgate's own: a complete response with a problem body (RFC 9457).
struct problem {
    int status = 500;
    std::string_view detail;     // for people: what happened and, where it is the reader's to do, what would be right
    std::string_view request_id; // becomes `instance`; may be empty
    bool keep_alive = false;     // otherwise the connection is closed after it
    bool head_only = false;      // the answer to HEAD
    int retry_after = 0;         // seconds; 0 for none
    const header_edits* edits = nullptr;                           // fields to be added; what it removes is not there
    std::span<const std::pair<std::string, std::string>> fields{}; // to be added
};

chunk make_response(const problem& p);

// Any other answer of headgate's own, complete with its body.
struct own_answer {
    int status = 200;
    std::string_view body{};
    std::string_view content_type{};                                     // left out if there is no body
    std::vector<std::pair<std::string_view, std::string_view>> fields{}; // to be added
    std::string_view request_id{};
    bool keep_alive = false;
    bool head_only = false;
    const header_edits* edits = nullptr; // the same as for a problem
};

// An empty chunk if a field of it cannot be written.
chunk make_response(const own_answer& a);

} // namespace headgate::gateway
