#pragma once

#include <gateway/cause.hpp>
#include <gateway/request_id.hpp>
#include <gateway/upstream.hpp>
#include <gateway/worker.hpp>

#include <headgate/http/parser.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace headgate::gateway {

// The parsers of one exchange. Large, so they are lent while heads are read, and not kept while a body streams.
struct head_parsers {
    http::request_parser request;
    http::response_parser response;
    explicit head_parsers(const http::head_limits& l) : request(l), response(http::method::get, l) {}
};

// An HTTP/1.1 reverse proxy to one upstream (RFC 9110, section 7; RFC 9112). A connection is a coroutine, a request is a coroutine in it, and
// whatever a request holds (upstream connection, connect in progress, timers, buffers) is in that coroutine: when the client
// leaves, it is all gone as the very next thing.
class proxy final : public service {
public:
    proxy(worker& w, const proxy_options& o);

    task<> serve(socket client, peer_address peer) override;
    std::string_view refusal() const noexcept override { return refusal_; }
    void drain() noexcept override { upstream_.close_idle(); }
    std::size_t upstream_idle() const noexcept override { return upstream_.idle(); }
    std::size_t upstream_busy() const noexcept override { return upstream_.busy(); }

private:
    struct request;
    using parsers_lease = std::unique_ptr<head_parsers, void (*)(head_parsers*)>;

    task<bool> serve_request(socket& client, http::inbound& in, const peer_address& peer);
    task<bool> read_request_head(request& rq);
    task<> exchange(request& rq);
    task<upstream_lease> connect(request& rq);
    task<bool> read_response_head(request& rq, upstream_lease& up, bool may_retry);
    task<> relay_interim(request& rq, upstream_lease& up);
    task<> upload(request& rq, upstream_lease& up, chunk head);
    task<> send_response(request& rq, upstream_lease& up, bool request_sent);
    task<bool> answer(request& rq, int status, std::string_view detail);
    task<> linger(socket& client, http::inbound& in);
    void log(const request& rq, const peer_address& peer);
    std::unique_ptr<head_parsers> borrow_parsers();
    void return_parsers(std::unique_ptr<head_parsers> p);

    worker& worker_;
    proxy_options options_;
    upstream upstream_;
    request_ids ids_;
    std::string refusal_;
    std::vector<std::unique_ptr<head_parsers>> parsers_; // not in use; at most parsers_kept_max
    static constexpr std::size_t parsers_kept_max = 64;
};

} // namespace headgate::gateway
