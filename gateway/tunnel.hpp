#pragma once

#include <headgate/core/task.hpp>

#include <optional>

#include <gateway/cause.hpp>
#include <gateway/upstream.hpp>
#include <gateway/worker.hpp>

namespace headgate::gateway {

// A TCP tunnel: two pipelines, one each way. A clean end of one side is passed on as a half-close and the other
// direction goes on, under a clock; any failure of either side ends both at once, with a reset to each.
class tunnel final : public service {
public:
    tunnel(worker& w, const tunnel_options& o);

    task<> serve(socket client, client_peer peer) override;
    std::string_view refusal(int) const noexcept override { return {}; }
    void drain() noexcept override {}
    std::size_t upstream_busy() const noexcept override { return upstream_.busy(); }

private:
    struct connection;
    task<> run(connection& c);

    worker& worker_;
    tunnel_options options_;
    upstream upstream_;
};

} // namespace headgate::gateway
