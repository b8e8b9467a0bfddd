#pragma once

#include <headgate/flow/blame.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/io/socket.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <gateway/cause.hpp>
#include <gateway/observe/route_meters.hpp>
#include <gateway/trace/context.hpp>

// What can be seen of a request or a tunnel while it lives, and when it has ended.
namespace headgate::gateway {

class flow_registry;

enum class flow_kind : std::uint8_t { request, upgrade, tunnel, export_rows, files, other };
const char* to_string(flow_kind k) noexcept;

// How far a flow has come. A request goes through the first ones in their order; those in which there is nothing to
// wait for are left out.
enum class flow_phase : std::uint8_t {
    head,    // its head is being read
    queue,   // it waits to be admitted to its upstream
    connect, // to the upstream
    send,    // the request is being written
    wait,    // for the head of the answer, or for the first rows
    body,    // the answer is being written
    linger,  // it has ended; the rest of what the client sends is read
    tunnel,  // bytes are passed on both ways
};
inline constexpr std::size_t flow_phases = 8;
const char* to_string(flow_phase p) noexcept;

// What else is noted of a flow, beside its phases.
enum class flow_mark : std::uint8_t {
    lease = flow_phases, // it got a connection to its upstream, or a session of its database
    release,             // and gave it back
    retry,
    abort, // by an operator
};
const char* transition_name(std::uint8_t what) noexcept;

// One line of a flow's recorder.
struct flow_transition {
    std::int64_t microseconds : 56; // since its begin
    std::uint64_t what : 8;         // a flow_phase or a flow_mark
};

// Who is to blame for a flow's pace.
struct flow_verdict {
    const char* stage = ""; // static
    std::uint8_t index = 0;
    waited_party party{};
    double share = 0; // of its lane's age
    duration stalled{};
};

// Whom a flow belongs to, as it may be told. Views live as long as what they are taken of.
struct flow_facts {
    std::string_view request_id{};
    std::string_view listener{};
    std::string_view method{};
    std::string_view target{};
    std::string_view upstream{}; // or the database, of an export
    const peer_address* client = nullptr;
    int status = 0; // 0: none
    std::uint64_t up = 0;
    std::uint64_t down = 0;
    std::optional<cause> why{};
    std::uint32_t attempts = 0;           // how often it was sent to an upstream, or tried to be
    duration handshake{};                 // of TLS with the upstream
    const trace_context* trace = nullptr; // null: it belongs to none
};

// What is left of a stage when its chain has ended.
struct ended_stage {
    const char* name; // static
    std::uint64_t bytes;
    std::size_t held_max;
    std::size_t left; // bytes still held when all of its parts had been destroyed: zero
    bool up;          // of the lane towards the upstream
    std::uint64_t items;
    duration waiting_for_source;
    duration working;
    duration waiting_for_consumer;
};
inline constexpr std::size_t ended_stages_max = 10;
inline constexpr std::size_t lane_stages_max = 10; // of a live lane; more are not shown

// One direction of a flow: a list of the pipelines that move its bytes, of which there is one at a time.
struct flow_lane : list_node {
    class live_flow* of = nullptr;
    bool up = false; // towards the upstream

    pipe_options watched() noexcept { return {.watchers = this, .ended = &flow_lane::end}; }
    const live_pipeline* live() const noexcept { return linked() ? static_cast<const live_pipeline*>(next) : nullptr; }

private:
    static void end(list_node& lane, const live_pipeline& p) noexcept;
};

// The entry of a flow in its worker's registry. It lies in the frame of the request or tunnel and goes with it, which
// is what ends the flow. Everything that costs is done by those who look: a flow itself notes its phases, by the turn's
// clock, and nothing per byte; it allocates nothing.
class live_flow : public list_node {
public:
    using describer = void (*)(const void* whose, flow_facts&);

    live_flow() noexcept { lanes[0].of = lanes[1].of = this, lanes[1].up = true; }
    ~live_flow() {
        if (in_) leave();
    }

    // Enters the registry. `describe` says, of `whose`, what is known; both outlive this.
    void begin(flow_registry& in, flow_kind k, const void* whose, describer describe) noexcept;
    // Leaves it without a trace: there was no flow.
    void forget() noexcept;

    void enter(flow_phase p) noexcept {
        const time_point now = executor::current().turn_time();
        spent_[static_cast<std::size_t>(phase_)] += now - since_;
        phase_ = p;
        since_ = now;
        note(static_cast<std::uint8_t>(p), now);
    }
    void mark(flow_mark m) noexcept { note(static_cast<std::uint8_t>(m), executor::current().turn_time()); }

    // What it borrows, a connection to an upstream or a session of a database, is held from now on.
    void hold() noexcept {
        held_since_ = executor::current().turn_time();
        holding_ = held_any_ = true;
        mark(flow_mark::lease);
    }
    void release() noexcept {
        if (!holding_) return;
        hold_time_ += executor::current().turn_time() - held_since_;
        holding_ = false;
        mark(flow_mark::release);
    }

    // The head of the answer, or the first row, is there.
    void first_byte() noexcept { first_byte_ = executor::current().turn_time(); }
    // Its body will be sent to the upstream as it comes.
    void uploads() noexcept { uploads_ = true; }
    // It has been sent. The answer may have begun before.
    void sent() noexcept {
        if (phase_ == flow_phase::send) enter(flow_phase::wait);
    }
    // Nothing more is to be counted: the answer is complete, or cut. What still happens is lingering.
    void end(time_point now) noexcept;

    // Ends the flow, for an operator. Gives whether it was there to be ended.
    bool abort() noexcept;
    bool aborted() const noexcept { return aborted_; }

    flow_lane& down() noexcept { return lanes[0]; }
    flow_lane& up() noexcept { return lanes[1]; }
    const flow_lane& down() const noexcept { return lanes[0]; }
    const flow_lane& up() const noexcept { return lanes[1]; }

    // ---- for those who look

    std::uint64_t number() const noexcept { return number_; }
    time_point begun() const noexcept { return begun_; }
    time_point since() const noexcept { return since_; }
    flow_phase phase() const noexcept;
    bool holding() const noexcept { return holding_; }
    // Whether it has ended, but for its lingering: it is in the counts of its route already.
    bool counted() const noexcept { return counted_; }
    std::optional<duration> hold_time(time_point now) const noexcept;
    duration spent(flow_phase p, time_point now) const noexcept {
        return spent_[static_cast<std::size_t>(p)] + (p == phase_ ? now - since_ : duration{});
    }
    flow_facts facts() const {
        flow_facts f;
        describe_(whose_, f);
        return f;
    }
    // From the begin until the answer's head, or the first row, was there.
    std::optional<duration> first_byte_time() const noexcept {
        return first_byte_ == time_point() ? std::nullopt : std::optional(first_byte_ - begun_);
    }
    // Those of the chains that have ended.
    std::span<const ended_stage> stages() const noexcept { return std::span(stages_).first(stage_count_); }
    // Bytes held by its live stages, what they may hold, and the most they ever held.
    struct holdings {
        std::size_t held = 0;
        std::size_t limit = 0;
        std::size_t max = 0;
    };
    holdings held() const noexcept;
    // For how long nothing has moved, with what is known of who is to blame; zero if that is not long enough to be
    // called a stall. This is what all who show flows go by.
    duration stalled(const std::optional<flow_verdict>& v, time_point now) const noexcept;
    // The stages of a lane, source first. A lane that has no pipeline, or has none yet, is told from the phases.
    std::span<stage_report> report(const flow_lane& lane, time_point now, std::span<stage_report> room) const noexcept;
    // How long it has waited for whom up to now.
    std::array<duration, waited_parties> waits(time_point now) const noexcept;
    std::optional<flow_verdict> verdict(const flow_lane& lane, std::span<const stage_report> parts,
                                        time_point now) const noexcept;
    // Of the flow: that of the lane that is waited for.
    std::optional<flow_verdict> verdict(time_point now) const noexcept;
    waited_party party_of(const flow_lane& lane, std::size_t stage, std::size_t stages) const noexcept;
    // The recorder, oldest first; gives how many lines it has.
    std::size_t transitions(std::span<flow_transition, 16> out) const noexcept;

    flow_kind kind = flow_kind::request;
    // Of its route; null as long as none is found. Lives as long as the flow.
    route_meters* meters = nullptr;
    std::string_view route{};  // the name; the same
    place* abort_at = nullptr; // see abort_point
    socket* client = nullptr;  // to be shut down by an abort where there is no abort_point
    std::array<flow_lane, 2> lanes{};

private:
    friend flow_lane;
    friend flow_registry;
    void leave() noexcept;
    void note(std::uint8_t what, time_point now) noexcept {
        recorder_[noted_++ % recorder_.size()] = {
            .microseconds = std::chrono::duration_cast<std::chrono::microseconds>(now - begun_).count(), .what = what};
    }
    void lane_ended(const flow_lane& lane, const live_pipeline& p) noexcept;
    duration before_body(time_point now) const noexcept;
    bool sending() const noexcept;
    bool by_phases(const flow_lane& lane) const noexcept;
    void add_waits(const flow_lane& lane, std::span<const stage_report> parts,
                   std::array<duration, waited_parties>& to) const noexcept;
    const char* stage_name(const flow_lane& lane, std::size_t stage, std::size_t stages,
                           const char* own) const noexcept;

    flow_registry* in_ = nullptr;
    describer describe_ = nullptr;
    const void* whose_ = nullptr;
    std::uint64_t number_ = 0;
    time_point begun_{};
    time_point since_{};
    time_point held_since_{};
    time_point first_byte_{};
    duration hold_time_{};
    flow_phase phase_ = flow_phase::head;
    bool holding_ = false;
    bool aborted_ = false;
    bool counted_ = false;    // by end()
    bool uploads_ = false;    // its body is, or was, sent as it came
    bool down_ended_ = false; // a pipeline has moved the answer's body
    bool held_any_ = false;
    std::uint8_t stage_count_ = 0;
    std::uint32_t noted_ = 0;
    std::size_t held_max_ = 0; // by lanes that have ended
    std::array<duration, flow_phases> spent_{};
    std::array<duration, waited_parties> lane_waits_{}; // of lanes that have ended
    std::optional<flow_verdict> last_{};                // the verdict at the end of a lane
    // Not cleared: what counts are the counts.
    std::array<ended_stage, ended_stages_max> stages_;
    std::array<flow_transition, 16> recorder_;
};

// Where an operator's abort arrives: the flow (of coroutines) of this place fails. Stands in the frame of the exchange.
class abort_point {
public:
    abort_point(live_flow& of, place& at) noexcept : of_(of), before_(of.abort_at) { of.abort_at = &at; }
    abort_point(const abort_point&) = delete;
    abort_point& operator=(const abort_point&) = delete;
    ~abort_point() { of_.abort_at = before_; }

private:
    live_flow& of_;
    place* before_;
};

} // namespace headgate::gateway
