#include <headgate/core/executor.hpp>

#include <gateway/policy/admit.hpp>

namespace headgate::gateway {

namespace {

std::optional<refusal> take_token(request& rq, rate_limiter& limiter) {
    const auto key = limiter.key_of(rq.parsers->request.head(), rq.from.ip);
    const auto v = limiter.take(key, executor::current().turn_time());
    if (!v.admitted || limiter.options().headers) {
        header_edits& edits = rq.edit_answer();
        edits.set.emplace_back("RateLimit-Policy", rate_limit_policy_field(limiter.options()));
        edits.set.emplace_back("RateLimit", rate_limit_field(v));
        if (!v.admitted) edits.set.emplace_back("Retry-After", std::to_string(seconds_of(v.next)));
    }
    if (v.admitted) return std::nullopt;
    return refusal{cause::client_rate, 429, "these are more requests than this client may make in a time"};
}

} // namespace

std::optional<refusal> identify(request& rq) {
    const snapshot::entrance& here = rq.entrance;
    rq.from = rq.peer;
    rq.scheme = rq.peer_scheme;
    rq.peer_trusted = !here.trusted.empty() && here.trusted.contains(rq.peer.ip);
    if (rq.peer_trusted) {
        const auto said = provenance_of(rq.parsers->request.head(), rq.peer, here.trusted, here.config->forwarded);
        if (!said) return refusal{cause::client_protocol, 400, "Forwarded is malformed (RFC 7239, section 4)"};
        rq.from = said->client;
        if (!said->scheme.empty()) rq.scheme = said->scheme;
        rq.host = said->host;
    }
    rq.client_address.size = rq.from.write_host(rq.client_address.bytes);
    return std::nullopt;
}

std::optional<refusal> admit(request& rq, const snapshot::route& r) {
    const route_policies* const p = r.policies;
    if (!rq.entrance.addresses.admit(rq.from.ip) || (p && !p->addresses.admit(rq.from.ip)))
        return refusal{cause::client_denied, 403, "this client's address is not allowed here"};
    if (!p) return std::nullopt;
    // A script may read a refusal only if that has the fields, too.
    if (p->cors.enabled()) {
        const http::request_head& head = rq.parsers->request.head();
        if (is_preflight(head)) {
            add_preflight_fields(p->cors, head, rq.edit_answer());
            return refusal{cause::complete, 204, {}};
        }
        add_cors_fields(p->cors, head, rq.edit_answer());
    }
    if (p->rate_limiter)
        if (auto no = take_token(rq, *p->rate_limiter)) return no;
    if (p->requests) {
        rq.permit = request_permit(*p->requests, p->requests_max);
        if (!rq.permit) return refusal{cause::route_busy, 503, "as many requests as may be are in progress here"};
    }
    return std::nullopt;
}

} // namespace headgate::gateway
