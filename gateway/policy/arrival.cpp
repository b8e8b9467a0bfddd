#include <gateway/policy/arrival.hpp>

namespace headgate::gateway {

task<arrival> arrive(socket& client, client_peer& peer, const snapshot::entrance& here) {
    if (!here.config->proxy_protocol) co_return arrival();
    if (!here.trusted.empty() && !here.trusted.contains(peer.ip)) co_return arrival{.refused = cause::client_denied};
    const auto header = co_await read_proxy_header(client, here.config->http.header_timeout);
    if (!header)
        co_return arrival{.refused = header.error() == errc::timed_out ? cause::client_slow_header
                                                                       : cause_of(header.error(), party::client)};
    if (!header->local && !peer.become(header->source)) co_return arrival{.refused = cause::overloaded};
    co_return arrival{.tls = header->tls};
}

bool counts_as_client(const snapshot::entrance* here, const peer_address& from) noexcept {
    return !here || (!here->config->proxy_protocol && !here->trusted.contains(from.ip));
}

} // namespace headgate::gateway
