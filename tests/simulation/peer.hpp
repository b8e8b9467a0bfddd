#pragma once

#include <headgate/http/chunked.hpp>
#include <headgate/http/parser.hpp>
#include <headgate/io/socket.hpp>
#include <headgate/testing/explore.hpp>
#include <headgate/testing/tools.hpp>

#include <memory>
#include <optional>
#include <string>

namespace headgate::simulation_test {

using namespace std::chrono_literals;
using testing::exploration;

// One end of a connection in the hands of a scripted peer. Holds its bytes in strings, so that all chunks that are
// alive are those of what is under test.
struct peer {
    exploration& x;
    socket s;
    std::string in{};    // received and not used
    bool broken = false; // a write has failed: whoever reads then may see an end where there was a reset

    // Sends in random pieces with random pauses. False if the connection is gone.
    task<bool> send(std::string bytes, duration pause_max);
    // Reads more, after a random pause. 0 at the end; none if the connection is broken or silent for too long.
    task<std::optional<std::size_t>> more(duration pause_max);
};

inline task<bool> peer::send(std::string bytes, duration pause_max) {
    std::size_t at = 0;
    while (at < bytes.size()) {
        const std::size_t n = x.one_in(3) ? bytes.size() - at : 1 + x.size_up_to(bytes.size() - at - 1);
        if (!co_await s.write_all(std::string_view(bytes).substr(at, n), 5min)) {
            broken = true;
            co_return false;
        }
        at += n;
        if (at != bytes.size() && x.one_in(3)) co_await sleep_for(x.up_to(pause_max));
    }
    co_return true;
}

inline task<std::optional<std::size_t>> peer::more(duration pause_max) {
    if (x.one_in(8)) co_await sleep_for(x.up_to(pause_max));
    std::string buffer(x.one_in(2) ? 65536 : 1 + x.size_up_to(4096), 0);
    const auto n = co_await s.read_some(buffer, 5min);
    if (!n) co_return std::nullopt;
    in.append(buffer, 0, *n);
    co_return *n;
}

// What a body came to at its receiver.
enum class body_end : std::uint8_t {
    whole,     // its framing says that it is complete
    cut,       // the connection ended or broke before
    malformed, // its framing is broken
    wrong,     // a byte was not the one that belongs there
};

// Reads the body `id` and checks each byte. Counts them in `got`.
inline task<body_end> receive_body(peer* p, http::body_framing framing, std::uint64_t id, std::uint64_t* got,
                                   duration pause_max) {
    http::chunked_decoder decoder;
    const auto right = [&](std::string_view part) {
        for (const char c : part)
            if (c != testing::body_byte(id, (*got)++)) return false;
        return true;
    };
    using kind = http::body_framing::kind;
    if (framing.how == kind::none) co_return body_end::whole;
    for (;;) {
        while (!p->in.empty() || (framing.how == kind::length && *got == framing.length)) {
            if (framing.how == kind::chunked) {
                const http::decode_result r = decoder.decode(p->in);
                if (!right(r.payload)) co_return body_end::wrong;
                p->in.erase(0, r.consumed);
                if (r.state == http::decode_state::error) co_return body_end::malformed;
                if (r.state == http::decode_state::end) co_return body_end::whole;
                if (r.consumed == 0) break;
            } else {
                const std::uint64_t left = framing.how == kind::length ? framing.length - *got : p->in.size();
                const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(left, p->in.size()));
                if (!right(std::string_view(p->in).substr(0, n))) co_return body_end::wrong;
                p->in.erase(0, n);
                if (framing.how == kind::length && *got == framing.length) co_return body_end::whole;
            }
        }
        const auto n = co_await p->more(pause_max);
        if (!n) co_return body_end::cut;
        if (*n == 0) co_return framing.how == kind::until_close ? body_end::whole : body_end::cut;
    }
}

} // namespace headgate::simulation_test
