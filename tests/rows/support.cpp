#include <headgate/http/chunked.hpp>

#include <tests/rows/support.hpp>

namespace headgate::rows {

std::string payload_of(const std::string& message) {
    const std::size_t head = message.find("\r\n\r\n");
    if (head == std::string::npos) throw std::runtime_error("no head in " + message.substr(0, 100));
    std::string_view rest = std::string_view(message).substr(head + 4);
    http::chunked_decoder decoder;
    std::string payload;
    for (;;) {
        const http::decode_result r = decoder.decode(rest);
        payload += r.payload;
        rest.remove_prefix(r.consumed);
        if (r.state == http::decode_state::end) return payload;
        if (r.state == http::decode_state::error || (r.consumed == 0 && r.payload.empty()))
            throw std::runtime_error("cut after " + std::to_string(payload.size()) + " bytes");
    }
}

std::size_t open_at(const std::string& path) {
    std::size_t found = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code closed;
        found += std::filesystem::read_symlink(entry.path(), closed) == path;
    }
    return found;
}

} // namespace headgate::rows
