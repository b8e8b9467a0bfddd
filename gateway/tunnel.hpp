#pragma once

#include <string>

#include <gateway/trace/context.hpp>
#include <gateway/upstream.hpp>
#include <gateway/worker.hpp>

namespace headgate::gateway {

// Serves the TCP clients of one listener: each is joined to a connection to the upstream of the listener's route, or of
// the one for the name that it asks for in its ClientHello (SNI), which goes on as it came.
class tunnel final : public service {
public:
    // `listener` is the address by which the worker's configuration knows it.
    tunnel(worker& w, std::string listener) : worker_(w), listener_(std::move(listener)) {}
    // Makes the worker serve this and nothing else.
    tunnel(worker& w, const tunnel_options& o);

    task<> serve(socket client, client_peer peer) override;
    std::string_view refusal(int) const noexcept override { return {}; }
    bool counts(const peer_address& from) const noexcept override;

private:
    struct connection;
    task<> run(connection& c);
    task<const snapshot::route*> choose(connection& c, const snapshot::entrance& at);

    worker& worker_;
    std::string listener_;
    std::uint64_t connections_ = 0;
    trace_ids trace_ids_;
};

} // namespace headgate::gateway
