#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <gateway/admin/http_server.hpp>
#include <gateway/admin/views.hpp>
#include <gateway/fleet.hpp>
#include <gateway/trace/exporter.hpp>

namespace headgate::gateway::admin {

// What the server does by itself, for those who ask.
struct server_facts {
    const bool& ready; // otherwise it drains
    std::uint64_t reloads = 0;
    std::uint64_t reloads_failed = 0;
    const trace_exporter* traces = nullptr; // null: nothing is traced
    std::chrono::system_clock::time_point started = std::chrono::system_clock::now();
    time_point begun = executor::current().now();
};

// The part of the admin API that shows what the workers do: see docs/openapi.yaml. Runs on the main loop, and asks the
// workers through their loops; a worker that does not answer within a second is left out, and if none does the answer
// is 503.
class api {
public:
    api(fleet& workers, const server_facts& facts) noexcept : workers_(workers), facts_(facts) {}
    api(const api&) = delete;
    api& operator=(const api&) = delete;

    // Its endpoints, which must not outlive it.
    std::vector<endpoint> endpoints();

    static constexpr duration event_interval = std::chrono::seconds(1);
    static constexpr std::size_t ended_per_event_max = 100;

private:
    struct rates {
        double requests = 0, errors = 0, up = 0, down = 0; // per second
    };
    struct totals {
        std::uint64_t requests = 0, errors = 0, up = 0, down = 0;
    };

    task<answer> flows(asked rq);
    task<answer> flow(asked rq);
    task<answer> abort_flow(asked rq);
    task<answer> ended(asked rq);
    task<answer> overview();
    task<answer> routes();
    task<answer> upstreams();
    task<answer> sources();
    task<answer> drain(asked rq, bool on);
    task<answer> metrics();
    task<answer> show_config(asked rq);
    task<answer> level();
    task<answer> set_level(asked rq);
    task<answer> events(asked rq);
    task<> send_events(flow_query q, event_stream& to);

    task<std::optional<worker_state>> ask_state();
    task<std::string> flows_json(flow_query q); // empty: nobody has answered
    task<std::string> overview_json();
    std::optional<rates> rates_of(const worker_state& s);

    fleet& workers_;
    const server_facts& facts_;
    totals before_{}; // when the rates were counted last
    time_point before_at_{};
    std::optional<rates> rates_{};
};

// Prometheus' text format, version 0.0.4.
std::string metrics_text(const worker_state& s, const server_facts& facts, const fleet& workers);

// What the process has and has used.
struct process_facts {
    std::uint64_t rss_bytes = 0;
    std::uint64_t descriptors = 0;
    std::uint64_t descriptors_max = 0;
    double cpu_seconds = 0;
};
process_facts process_now();

} // namespace headgate::gateway::admin
