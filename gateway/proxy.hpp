#pragma once

#include <optional>
#include <string>

#include <gateway/exchange.hpp>

namespace headgate::gateway {

// An HTTP/1.1 reverse proxy to one upstream (RFC 9110, section 7; RFC 9112). A connection is a coroutine, a request is
// a coroutine in it; a connection that waits for its next request holds no buffer.
class proxy final : public service {
public:
    proxy(worker& w, const proxy_options& o);

    task<> serve(socket client, client_peer peer) override;
    std::string_view refusal(int status) const noexcept override { return status == 429 ? too_many_ : overloaded_; }
    void drain() noexcept override { upstream_.close_idle(); }
    std::size_t upstream_idle() const noexcept override { return upstream_.idle(); }
    std::size_t upstream_busy() const noexcept override { return upstream_.busy(); }

private:
    task<bool> serve_request(socket& client, http::inbound& in, const peer_address& peer, bool last);
    task<bool> read_head(request& rq);
    void take_head(request& rq, const peer_address& peer);
    task<> relay_switched(request& rq, upstream_lease up);
    struct refusal_of {
        cause why;
        int status;
        std::string detail;
    };
    std::optional<refusal_of> not_served(const request& rq) const;
    task<> answer(request& rq, int status, std::string detail, bool may_persist);
    task<> linger(request& rq);
    void log(const request& rq, const peer_address& peer);

    worker& worker_;
    proxy_options options_;
    upstream upstream_;
    parser_pool parsers_;
    request_ids ids_;
    std::string overloaded_;
    std::string too_many_;
};

} // namespace headgate::gateway
