#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// What the admin API answers, as plain values; texts are printable. Members that are null or not there are empty or 0.
namespace headgate::gateway::top {

struct verdict {
    std::string stage{};
    std::size_t index = 0;
    std::string party{}; // client, upstream, database or stage; empty: nobody is to blame
    double share = 0;    // of the lane's age
    double stalled_ms = 0;
};

struct stage_row {
    std::string name{};
    std::string side{};  // source, stage or sink
    std::string state{}; // waiting_for_source, working, waiting_for_consumer or done
    std::uint64_t bytes = 0;
    std::uint64_t held = 0;
    std::uint64_t limit = 0; // 0: none
    double waiting_for_source_ms = 0;
    double working_ms = 0;
    double waiting_for_consumer_ms = 0;
};

struct lane_row {
    bool down = true; // to the client
    std::vector<stage_row> stages{};
    std::optional<verdict> blamed{};
};

struct transition {
    double at_ms = 0;
    std::string what{};
};

struct flow_row {
    std::string id{}, request_id{}, kind{}, route{}, client{}, upstream{}, source{}, method{}, target{}, phase{},
        waiting_for{};
    int status = 0;
    double age_ms = 0;
    double waiting_ms = 0;
    double stalled_ms = 0;    // for how long nothing has moved, if the gateway calls that stalled; otherwise 0
    std::string stalled_by{}; // whom it waits for meanwhile
    std::uint64_t up = 0;
    std::uint64_t down = 0;
    std::uint64_t held = 0;
    std::uint64_t held_limit = 0;
    std::optional<double> hold_ms{};
    bool holding = false;
    std::vector<lane_row> lanes{};
    std::optional<verdict> blamed{};
    std::vector<transition> transitions{}; // of a single flow only

    std::string what() const; // "GET /x", or its kind
};

struct flow_list {
    std::uint64_t total = 0;
    std::uint64_t matched = 0;
    std::vector<flow_row> flows{};
};

struct route_row {
    std::string name{};
    std::uint64_t flows = 0;
    std::uint64_t stalled = 0;
    std::uint64_t held = 0;
    std::uint64_t client = 0, upstream = 0, database = 0, stage = 0; // flows that wait for them
};

struct budget {
    std::uint64_t used = 0;
    std::uint64_t limit = 0;
};

struct endpoint_row {
    std::string address{};
    bool healthy = true, ejected = false, draining = false;
    std::uint64_t busy = 0;
};

struct upstream_row {
    std::string name{}, circuit{};
    std::uint64_t busy = 0, idle = 0, queued = 0;
    std::vector<endpoint_row> endpoints{};
};

struct source_row {
    std::string name{}, driver{};
    std::uint64_t size = 0, busy = 0, waiting = 0, leases = 0, returned_early = 0;
    double hold_ms = 0;
};

struct overview {
    std::string version{};
    std::uint64_t pid = 0, workers = 0, connections = 0, flows = 0, rss = 0;
    double uptime_s = 0;
    bool ready = false, draining = false;
    std::optional<budget> memory{}, spool{}, descriptors{};
    double requests_per_s = 0, down_per_s = 0, up_per_s = 0, errors_per_s = 0;
    std::vector<route_row> routes{};
    std::vector<upstream_row> upstreams{};
    std::vector<source_row> sources{};

    std::uint64_t stalled() const;
};

// They give why it is none.
std::expected<flow_list, std::string> read_flows(std::string_view json);
std::expected<flow_row, std::string> read_flow(std::string_view json);
std::expected<overview, std::string> read_overview(std::string_view json);
// The answer of read_flows without the flows that have not been stalled for `least_ms`; nothing else is changed.
std::string only_stalled(std::string_view json, double least_ms);
// What a problem document says, or the text itself.
std::string read_problem(std::string_view body);

// How bad a flow is, and whom it waits for.
struct judgement {
    enum class level { fine, slow, stalled } how = level::fine;
    std::string party{}; // empty if it is fine
    std::string brief{}; // for a column: "client 12 s", "slow: zstd 93 %"; empty if it is fine
    std::string text{};  // "waits for the client: 12 s"
};
judgement judge(const flow_row& f);
// What a stage does now, in words: "takes nothing: 12 s".
std::string stage_words(const flow_row& f, const lane_row& in, std::size_t index);

} // namespace headgate::gateway::top
