#pragma once

#include <headgate/core/memory_budget.hpp>
#include <headgate/http/inbound.hpp>
#include <headgate/http/parser.hpp>

#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <gateway/cause.hpp>
#include <gateway/live_config.hpp>
#include <gateway/observe/live_flow.hpp>
#include <gateway/request_id.hpp>
#include <gateway/short_text.hpp>
#include <gateway/trace/record.hpp>

namespace headgate::gateway {

// The parsers of one exchange. Large, so they are lent while heads are read, and not kept while a body streams.
struct head_parsers {
    http::request_parser request;
    http::response_parser response;
};

// Parsers that are not in use, kept for reuse: at most `kept_max`.
class parser_pool {
public:
    parser_pool() { kept_.reserve(kept_max); } // put() must not fail

    class lease {
    public:
        explicit lease(parser_pool& home) : home_(home), parsers_(home.take()) {}
        lease(const lease&) = delete;
        lease& operator=(const lease&) = delete;
        ~lease() { release(); }
        void release() noexcept { home_.put(std::move(parsers_)); }
        head_parsers* operator->() const noexcept { return parsers_.get(); }
        explicit operator bool() const noexcept { return parsers_ != nullptr; }

    private:
        parser_pool& home_;
        std::unique_ptr<head_parsers> parsers_;
    };

    static constexpr std::size_t kept_max = 64;

private:
    std::unique_ptr<head_parsers> take();
    void put(std::unique_ptr<head_parsers> p) noexcept;

    std::vector<std::unique_ptr<head_parsers>> kept_;
};

// What a request or a tunnel counts for against the memory limit from its beginning: its frames and parsers, and the
// small buffers that it may have both ways when there are no larger ones to be had. So what has begun can end.
inline constexpr std::size_t flow_memory = 16 * 1024;

// One request, from its first byte to its line in the log: what is known of it when its head is gone, and how it goes.
// Text that is longer than its array is cut; that is only seen in the log.
struct request {
    socket& client;
    http::inbound& in;
    parser_pool::lease parsers;
    std::shared_ptr<const served> now;  // the configuration that was current when it began
    const snapshot::entrance& entrance; // by which it came in
    const peer_address& peer;           // of the connection
    std::string_view listener;          // its address
    peer_address from = peer;           // the client: the peer, or whom it speaks for
    bool peer_trusted = false;          // as a proxy

    template <std::size_t N>
    using text = short_text<N>;
    text<48> client_address{};
    std::string_view peer_scheme = "http"; // by which it came to us
    std::string_view scheme = "http";      // by which it came to us, or to a trusted proxy
    std::string_view host{};               // that a trusted proxy was asked for; lives as long as the head
    std::string_view client_subject{};     // of the client's verified certificate; lives as long as the connection
    text<128> id{};
    text<24> method{};
    text<256> target{};
    http::method verb = http::method::other;
    http::body_framing framing{}; // of the request's body
    int client_minor = 1;
    bool keep_alive = false; // the client would go on after this request
    bool head_read = false;

    time_point begun{};
    time_point sent{}; // when the upstream had been sent the whole request, the last time
    time_point answer_by =
        time_point::max();       // for all tries together, once one of them had been sent the whole request
    bool uploaded = false;       // the request's body has been read to its end
    bool upload_refused = false; // the upstream stopped taking it; its response decides what that means
    bool hinted = false;         // an interim response may have been sent
    bool answered = false;       // a byte of a final response may have been sent
    bool persistent = true;      // the client's connection may carry another request
    int status = 0;              // of the final response
    int retry_after = 1;         // seconds, to say with 503
    std::uint64_t up = 0;        // bytes of the request's body, framing not counted
    std::uint64_t down = 0;      // bytes of the response's
    std::optional<cause> why{};  // how it ended, set by whoever knows better than the error tells
    request_permit permit{};     // of the route, if that has a limit
    std::unique_ptr<header_edits> answer_edits{}; // what policies have to say in the answer; null for nothing
    std::string_view switch_to{}; // the protocol that the client asks to switch to, and may; lives as long as the route
    endpoint_name upstream{};     // where it was sent
    memory_charge memory{};       // what it may take beside the bytes of its bodies
    const route_life* life = nullptr; // of its route; set before it is passed on
    std::string_view coding{};        // that the client wants, of those the route compresses with; lives as long as it
    const snapshot::route* route = nullptr; // that takes it; null for none
    request_trace trace{};
    std::uint32_t attempts = 0;     // how often it was sent to an upstream, or tried to be
    duration handshake{};           // of TLS with the upstream
    endpoint_pool* asked = nullptr; // the endpoint whose answer tells whether it is well; null when it has told
    live_flow flow{};               // what can be seen of it; the last member, for it looks at the others to its end

    // The answer_edits, made if there are none yet.
    header_edits& edit_answer() {
        if (!answer_edits) answer_edits = std::make_unique<header_edits>();
        return *answer_edits;
    }
};

} // namespace headgate::gateway
