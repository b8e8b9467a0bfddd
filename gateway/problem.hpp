#pragma once

#include <headgate/core/chunk.hpp>

#include <string_view>

namespace headgate::gateway {

// An answer of headgate's own: a complete response with a problem body (RFC 9457).
struct problem {
    int status = 500;
    std::string_view detail;     // for people: what happened and, where it is the reader's to do, what would be right
    std::string_view request_id; // becomes `instance`; may be empty
    bool keep_alive = false;     // otherwise the connection is closed after it
    bool head_only = false;      // the answer to HEAD
    int retry_after = 0;         // seconds; 0 for none
};

chunk make_response(const problem& p);

} // namespace headgate::gateway
