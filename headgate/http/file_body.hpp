#pragma once

#include <headgate/http/body.hpp>
#include <headgate/io/open_file.hpp>

#include <cstdint>
#include <string>
#include <vector>

// Bodies that come from files.
namespace headgate::http {

// A part of a file, and what is said in front of it.
struct file_piece {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::string before{};
};

// The source of parts of a file, with what stands between them. The file is closed at the end, or when the source is
// dropped. Bytes that the file no longer has fail the flow with errc::premature_close: whoever was promised them must
// not take the rest for the whole. What it has gained is nobody's. Other errors are the system's.
//
// As a stream, and to a sink with TLS or chunks, the parts are read `chunk_bytes` at a time, less when memory is short,
// none ahead.
struct file_source {
    files::open_file file;
    std::vector<file_piece> pieces;
    std::string after{};
    std::size_t chunk_bytes = chunk_large;
    std::uint64_t* total = nullptr; // counts what has been given on

    stream<chunk> into_stream() &&;
    const char* name() const noexcept { return "file"; }
};

// What pipeline(file_source, body_sink) runs: a small part goes out with the head in one piece; of a larger one the
// kernel moves the rest (sendfile(2)), `file_slice` at a time, where the socket is plain and the body is not chunked.
// What is not in memory is read by `offload` first.
task<> relay(file_source source, body_sink sink, joint& out, headgate::detail::chain_limits& limits);

inline constexpr std::size_t file_slice = 512 * 1024;

} // namespace headgate::http
