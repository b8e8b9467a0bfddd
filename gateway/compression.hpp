#pragma once

#include <headgate/core/stream.hpp>
#include <headgate/http/message.hpp>

#include <string>
#include <string_view>
#include <vector>

#include <gateway/options.hpp>

namespace headgate::gateway {

// The coding, one of o.algorithms, that the client wants for what may be compressed; empty for none, or if nothing may
// be. Lives as long as `o`.
std::string_view wanted_coding(const compression_options& o, const http::header_list& rq);

// Whether a body of this type and length may be compressed.
bool may_compress(const compression_options& o, std::string_view content_type, std::uint64_t length) noexcept;

// Whether a response may be compressed: it has a body, all of the representation, not coded yet, of such a type and
// length, and does not forbid it (no-transform).
bool may_compress(const compression_options& o, const http::response_head& head) noexcept;

// Whether a Vary field says already that the response depends on Accept-Encoding.
bool varies_by_encoding(const http::header_list& headers) noexcept;

// The stage that compresses a body as it goes by, in the coding zstd or gzip. Gives on all it has when its source is
// idle. Keeps less than 1 MB.
class encoder {
public:
    encoder(std::string_view coding, int level) noexcept : zstd_(coding == "zstd"), level_(level) {}

    stream<chunk> operator()(stream<chunk> in) const;
    const char* name() const noexcept { return zstd_ ? "zstd" : "gzip"; }

private:
    bool zstd_;
    int level_;
};

// All of a text at once.
task<std::string> compressed(std::string_view text, encoder with);

} // namespace headgate::gateway
