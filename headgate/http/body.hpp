#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/http/chunked.hpp>
#include <headgate/http/inbound.hpp>
#include <headgate/http/message.hpp>
#include <headgate/http/replay_buffer.hpp>
#include <headgate/io/relay.hpp>

// Message bodies as the two ends of a pipeline (RFC 9112, section 6): a source that takes the framing off and a sink
// that puts it on.
namespace headgate::http {

// The body of one message that comes in on a connection, which outlives it. Ends where the framing says; an end of the
// connection before that fails the flow with errc::premature_close, malformed chunks with errc::protocol, silence
// or crawling with errc::idle, and chunks of more than `payload_max` in all with
// errc::limit_exceeded (a Content-Length can be refused before).
struct body_source {
    socket* from;
    inbound* in;
    body_framing framing;
    chunked_decoder* decoder = nullptr; // for chunked framing; holds the trailers afterwards
    relay_limits limits;                // its total counts payload, framing not included
    std::uint64_t payload_max = std::numeric_limits<std::uint64_t>::max();
    replay_buffer* copy = nullptr; // keeps what is taken, so that it can be sent again; outlives the source

    stream<chunk> into_stream() &&;
    const char* name() const noexcept { return "body"; }
};

// The body of one message that goes out on a connection, which outlives it. `head` is sent in front of it, together
// with the first bytes. Without finish() the message is incomplete, and so must the connection be ended by its owner:
// with a reset.
class body_sink {
public:
    body_sink(socket& to, body_framing framing, chunk head, pace_limits pace) noexcept
        : to_(&to), framing_(framing), head_(std::move(head)), pace_(pace) {}

    // Sends the head alone, for a body that may be long in coming.
    task<> send_head() { return write({}, false, {}); }
    task<> write(chunk payload);
    // Fails with errc::protocol if less than the promised length was written.
    task<> finish() { return finish({}); }
    // The same, with trailers after a chunked body: whole field lines.
    task<> finish(std::string_view trailers);
    const char* name() const noexcept { return "body"; }

    // Writes `pieces` as one chunk, or plainly; with `last`, the end of the body too: one system call.
    task<> write(std::span<const std::string_view> pieces, bool last, std::string_view trailers);
    // Has the kernel send `bytes` of a file, from `at` on, as they are: over a plain socket, without chunks, after the
    // head. `out` counts them, and so does `total`, if it is not null, as they go. Fails the flow with
    // errc::premature_close at the source if the file ends before.
    task<> send_file(int file, std::uint64_t at, std::size_t bytes, joint& out, std::uint64_t* total);
    // Where the payload comes from: then the two connections are bounded together, if the sink is slow.
    void set_source(const socket& from) noexcept { pace_.set_source(from); }
    // The most of it that should be on its way at one time.
    std::size_t slice() const noexcept { return pace_.slice(); }
    socket& to() const noexcept { return *to_; }
    const body_framing& framing() const noexcept { return framing_; }
    bool head_sent() const noexcept { return head_.empty(); }
    // Bytes moved past the sink, by the kernel.
    void count(std::uint64_t payload) noexcept { written_ += payload; }
    // Moves what is in the pipe, as one chunk or plainly, over a plain socket, after the head. Counts it in `out`, and
    // in `total` if there is one, as it goes.
    task<> splice(pipe_lease& pipe, joint& out, std::uint64_t* total);
    bool complete() const noexcept { return framing_.how != body_framing::kind::length || written_ == framing_.length; }

    // Payload pieces that one write takes.
    static constexpr std::size_t pieces_max = 32;

private:
    task<> send(std::span<iovec> parts, std::size_t payload, followed_by next);

    socket* to_;
    body_framing framing_;
    chunk head_;
    sink_pace pace_;
    std::uint64_t written_ = 0;
};

// What pipeline(body_source, body_sink) runs: all that has come in at one time goes out with one system call, whatever
// chunks it came in; and large bodies, and the payload of large chunks, are moved by the kernel.
task<> relay(body_source source, body_sink sink, joint& out, headgate::detail::chain_limits& limits);

} // namespace headgate::http
