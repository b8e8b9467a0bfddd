#pragma once

#include <optional>
#include <string>

#include <gateway/exchange.hpp>
#include <gateway/policy/admit.hpp>
#include <gateway/problem.hpp>

namespace headgate::gateway {

// Serves the HTTP/1.1 clients of one listener: finds the route of each request and does what that says (RFC 9110,
// section 7; RFC 9112). A connection is a coroutine, a request is a coroutine in it; a connection that waits for its
// next request holds no buffer.
class proxy final : public service {
public:
    // `listener` is the address by which the worker's configuration knows it.
    proxy(worker& w, std::string listener);
    // Makes the worker serve this and nothing else.
    proxy(worker& w, const proxy_options& o);

    task<> serve(socket client, client_peer peer) override;
    std::string_view refusal(int status) const noexcept override;
    bool counts(const peer_address& from) const noexcept override;

private:
    // Who is at the other end of a connection.
    struct identity {
        const peer_address& address;
        std::unique_ptr<const std::string> subject{}; // of a verified certificate; null for none
        bool tls = false;                             // the client spoke TLS, with us or with a proxy that says so
    };
    task<bool> open(socket& client, client_peer& peer, identity& who);
    duration wait_limit(std::size_t requests) const noexcept;
    task<bool> serve_requests(socket& client, const identity& who, std::size_t& requests);
    task<> say_end(socket& client) const;
    task<bool> serve_request(socket& client, http::inbound& in, const identity& who, std::size_t number);
    task<bool> read_head(request& rq);
    void take_head(request& rq);
    task<> pass_on(request& rq, const snapshot::route& r, const proxy_action& a);
    std::optional<gateway::refusal> not_served(const request& rq, const route_options& o) const;
    task<> relay_switched(request& rq, const route_options& o, upstream_lease up);
    task<> redirect(request& rq, const route_match& m, const redirect_action& a);
    task<> export_rows(request& rq, const snapshot::route& r, const export_action& a);
    task<> respond(request& rq, const respond_action& a);
    task<> answer_other_method(request& rq, std::string_view why);
    task<> serve_static(request& rq, const snapshot::route& r, const static_action& a);
    task<> failed(request& rq, flow_error e);
    task<> complete(request& rq, own_answer a);
    task<> refuse(request& rq, gateway::refusal why);
    task<> answer(request& rq, int status, std::string detail, bool may_persist,
                  std::span<const std::pair<std::string, std::string>> fields = {});
    task<> send(request& rq, chunk answer);
    bool may_persist(const request& rq) const noexcept;
    task<> linger(request& rq);
    void log(request& rq);

    const std::shared_ptr<const served>& current() const noexcept { return last ? last : worker_.config().now(); }

    worker& worker_;
    std::string listener_;
    parser_pool parsers_;
    request_ids ids_;
    trace_ids trace_ids_;
    std::uint64_t requests_ = 0;
    std::string overloaded_;
    std::string too_many_;
};

} // namespace headgate::gateway
