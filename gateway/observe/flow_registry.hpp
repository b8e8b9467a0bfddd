#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <gateway/observe/live_flow.hpp>

namespace headgate::gateway {

// What was known of a flow when it was looked at, by value. The texts lie one behind the other: those of most flows
// take two or three cache lines.
class flow_labels {
public:
    peer_address client{};
    int status = 0;
    std::uint64_t up_bytes = 0;
    std::uint64_t down_bytes = 0;
    std::optional<cause> why{};

    flow_labels() noexcept {} // NOLINT(modernize-use-equals-default,cppcoreguidelines-pro-type-member-init)
    void set(const live_flow& f) noexcept;

    std::string_view request_id() const noexcept { return text(0); }
    std::string_view route() const noexcept { return text(1); }
    std::string_view listener() const noexcept { return text(2); }
    std::string_view upstream() const noexcept { return text(3); } // or the database, of an export
    std::string_view method() const noexcept { return text(4); }
    std::string_view target() const noexcept { return text(5); }

private:
    static constexpr std::array<std::size_t, 6> longest{128, 64, 64, 64, 24, 256}; // what is longer is cut
    static constexpr std::size_t longest_of_all = [] {
        std::size_t sum = 0;
        for (const std::size_t n : longest) sum += n;
        return sum;
    }();

    std::string_view text(std::size_t n) const noexcept {
        const std::size_t from = n == 0 ? 0 : ends_[n - 1];
        return {texts_.data() + from, ends_[n] - from};
    }

    std::array<std::uint16_t, longest.size()> ends_{};
    std::array<char, longest_of_all> texts_; // not cleared: what counts are the ends
};

// One direction of a flow.
struct lane_view {
    bool up = false;
    std::size_t stages = 0; // how many of `parts` there are; 0: there is no such lane now
    std::array<stage_report, lane_stages_max> parts{};
    std::optional<flow_verdict> verdict{};
};

// A live flow as somebody has asked for it.
struct flow_view {
    std::uint64_t number = 0;
    std::size_t worker = 0; // set by who asks
    std::int64_t rank = 0;  // in the order asked for the greatest is first
    flow_labels of{};
    flow_kind kind{};
    flow_phase phase{};
    duration age{};
    const char* waiting_for = nullptr; // client, upstream, database, disk or stage; null: at work
    duration waiting{};
    live_flow::holdings held{};
    std::optional<duration> hold{};
    bool holding = false;
    std::array<lane_view, 2> lanes{};
    std::optional<flow_verdict> verdict{};
    duration stalled{};               // zero: it is not
    const char* stalled_by = nullptr; // client, upstream, database, disk or stage; null: it is not stalled
    std::size_t transitions = 0;
    std::array<flow_transition, 16> recorder{};
};

// A flow that has ended.
struct ended_flow {
    std::uint64_t number = 0;
    std::size_t worker = 0;   // set by who asks
    std::uint64_t serial = 0; // counts those that have ended, from 1
    flow_kind kind{};
    flow_phase phase{}; // the one in which it ended
    cause why{};
    time_point ended_at{};
    std::chrono::system_clock::time_point ended{}; // set when it is given out
    duration age{};
    std::optional<duration> hold{};
    std::size_t held_max = 0;
    std::size_t left = 0;
    std::optional<flow_verdict> verdict{};
    std::size_t stages = 0;
    flow_labels of{};
    std::array<ended_stage, ended_stages_max> parts;

    // Leaves `parts` as it is: it counts as far as `stages` says.
    ended_flow() noexcept {} // NOLINT(modernize-use-equals-default,cppcoreguidelines-pro-type-member-init)
};

enum class flow_order : std::uint8_t { stalled, held, age, hold, bytes };

// Which flows to show: those that have all that is given here.
struct flow_query {
    flow_order sort = flow_order::stalled;
    std::size_t limit = 100;
    std::string route{};
    std::string client{}; // its address
    std::string upstream{};
    std::string kind{};
    std::string search{}; // in the target, the id or the client's address
    static constexpr std::size_t limit_max = 1000;
};

// The live flows of one route together.
struct route_totals {
    std::string route;
    std::size_t flows = 0;
    std::size_t stalled = 0;
    std::size_t held = 0;
    std::size_t limit = 0;
    std::array<std::size_t, waited_parties + 1> blamed{}; // by their verdict's party; the last: none
    // What is not in the counts of the route yet.
    std::array<duration, waited_parties> waits{};
    std::uint64_t up_bytes = 0;
    std::uint64_t down_bytes = 0;

    void add(const route_totals& o) noexcept;
};

// All that live, and those of them that were asked for.
struct flow_page {
    std::size_t total = 0;
    std::size_t matched = 0;
    std::vector<route_totals> routes{}; // of all flows
    std::vector<flow_view> flows{};     // the first `limit` of those that matched, in any order
};

flow_view view_of(const live_flow& f, time_point now);

// The live flows of one worker, and the last that have ended. Belongs to the worker's thread; what it gives are values.
class flow_registry {
public:
    static constexpr std::size_t ended_max = 256;

    flow_registry() : ended_(std::make_unique<std::array<ended_flow, ended_max>>()) {}
    flow_registry(const flow_registry&) = delete;
    flow_registry& operator=(const flow_registry&) = delete;

    std::size_t size() const noexcept { return size_; }
    // Shows all that live.
    template <class Look>
    void each(Look look) const {
        for (const list_node* i = flows_.next; i != &flows_; i = i->next) look(static_cast<const live_flow&>(*i));
    }
    // Shows them from the one of this number on, in the order of their numbers, until `look` returns false.
    template <class Look>
    void each_from(std::uint64_t number, Look look) const {
        for (const list_node* i = flows_.next; i != &flows_; i = i->next)
            if (const auto& f = static_cast<const live_flow&>(*i); f.number() >= number && !look(f)) return;
    }
    std::optional<flow_view> find(std::uint64_t number) const;
    // Ends a flow with cause::aborted_by_operator. Gives whether there is one of that number.
    bool abort(std::uint64_t number) noexcept;
    // Those that have ended after the one with this serial, newest first, `limit` at the most. `serial` becomes that of
    // the newest, `skipped` the number of those that are not given.
    std::vector<ended_flow> ended(std::size_t limit, std::uint64_t& serial, std::uint64_t& skipped) const;

    // How many have ended, by cause.
    const std::array<std::uint64_t, causes>& ends() const noexcept { return ends_; }
    // The time from when a failure was noticed until all that the flow held was gone.
    void torn_down(time_point noticed) noexcept { teardowns_.add(executor::current().now() - noticed); }
    const teardown_histogram& teardowns() const noexcept { return teardowns_; }

private:
    friend live_flow;
    void enter(live_flow& f) noexcept {
        f.number_ = ++last_number_;
        flows_.push_back(f);
        ++size_;
    }
    void remove(live_flow& f) noexcept {
        f.unlink();
        --size_;
    }
    void count(cause why) noexcept { ++ends_[static_cast<std::size_t>(why)]; }
    void record(live_flow& f) noexcept;
    live_flow* at(std::uint64_t number) const noexcept;

    list_node flows_;
    std::size_t size_ = 0;
    std::uint64_t last_number_ = 0;                            // they stand in the order of their numbers
    std::unique_ptr<std::array<ended_flow, ended_max>> ended_; // a ring: by serial
    std::uint64_t ended_count_ = 0;
    std::array<std::uint64_t, causes> ends_{};
    teardown_histogram teardowns_{};
};

} // namespace headgate::gateway
