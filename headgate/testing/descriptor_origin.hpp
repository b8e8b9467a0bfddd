#pragma once

#include <string>

namespace headgate::testing {

// Where the descriptor `fd` of this process was opened: the innermost calls, one per line, each indented by four
// spaces, with file and line. Empty if that is not known: in builds with NDEBUG or a sanitizer, for numbers from 1,024
// on, and for what did not come from one of the C library's open, openat, mkostemp, socket, socketpair, accept4, pipe2,
// epoll_create1, eventfd and dup.
//
// A program that uses this function has those ten replaced by ones that note their callers, which costs each about
// ten microseconds. Lines are looked up with addr2line (binutils), and given as offsets in the program where it is
// missing.
std::string descriptor_origin(int fd);

} // namespace headgate::testing
