#include <gateway/policy/admit.hpp>

namespace headgate::gateway {

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
    const bool welcome =
        rq.entrance.addresses.admit(rq.from.ip) && (!r.policies || r.policies->addresses.admit(rq.from.ip));
    if (!welcome) return refusal{cause::client_denied, 403, "this client's address is not allowed here"};
    return std::nullopt;
}

} // namespace headgate::gateway
