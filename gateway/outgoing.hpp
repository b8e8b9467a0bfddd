#pragma once

#include <headgate/http/chunked.hpp>
#include <headgate/http/replay_buffer.hpp>

#include <memory>

#include <gateway/request.hpp>
#include <gateway/upstream.hpp>

namespace headgate::gateway {

struct route;

// Appends a small body to its head, which is cheaper than a write of two; tells whether it did.
bool join(chunk& head, std::string_view body);

// A request on its way to an upstream, as often as it is sent.
class outgoing {
public:
    // `head` as it is to be sent. Takes the body, if it is there already: it goes out with the head. One that is still
    // to come is kept while it is sent, up to a limit, if the route has retries.
    outgoing(request& rq, const route_options& o, chunk head);

    // Whether the whole of it can be written at once.
    bool at_hand() const noexcept { return at_hand_; }
    // Whether it can be sent from its beginning again.
    bool repeatable() const noexcept { return at_hand_ || !begun_ || (kept_ && kept_->copy.whole()); }
    // Makes ready to send it again, which must be possible, or to send it for the first time.
    void rewind(request& rq);

    // What is to be written: of a request at hand all of it.
    chunk& head() noexcept { return prefix_.empty() ? head_ : prefix_; }
    chunk& body() noexcept { return body_; }

    // Sends head and body to the upstream, the body as it comes, beside the response. If the upstream does not take it,
    // it may have answered already: then the response tells. For one that is not at hand; must outlive the task.
    task<> upload(request& rq, const route& r, upstream_lease& up);

    // It will not be sent again: gives back what is held for that.
    void forget() noexcept;

private:
    chunk with_what_is_kept(const http::body_framing& framing) const;

    struct kept {
        http::replay_buffer copy;
        http::chunked_decoder decoder;
    };

    std::size_t traceparent_at_ =
        std::string_view::npos; // in head_; of a request that is recorded: each try has its own
    bool at_hand_;
    bool begun_ = false; // some of the body may have been taken from the client
    chunk head_;
    chunk prefix_; // instead of the head: with what is kept of the body
    chunk body_;   // of one at hand, if it is not with the head
    std::unique_ptr<kept> kept_;
};

} // namespace headgate::gateway
