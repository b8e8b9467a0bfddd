#include <headgate/core/memory_budget.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/http/body.hpp>

#include <array>
#include <cerrno>

#include <fcntl.h>

namespace headgate::http {

namespace {

constexpr std::size_t first_buffer = 16 * 1024;
// Of a chunk that has at least so much to come the payload is moved by the kernel, as long as it comes in large pieces.
constexpr std::size_t large_chunk = 128 * 1024;
constexpr std::size_t small_piece = 8 * 1024;
// What is read at once where the framing between two such chunks is due: what comes with it of the next is copied.
constexpr std::size_t framing_read = 64;

bool plain(const body_framing& f) { return f.how != body_framing::kind::chunked; }

// Takes the framing off, piece by piece. Knows what of the body is still to come; does no I/O.
class unframer {
public:
    explicit unframer(const body_source& s)
        : framing_(s.framing), decoder_(s.decoder), room_(s.payload_max), copy_(s.copy) {
        if (framing_.how == body_framing::kind::length) left_ = framing_.length;
        if (framing_.how == body_framing::kind::none) left_ = 0;
    }

    bool ended() const noexcept { return ended_ || left_ == 0; }
    // Why the body cannot be taken further, if so.
    struct fault {
        errc code{};
        const char* reason = nullptr;
    };
    const fault& wrong() const noexcept { return fault_; }
    // Payload and framing bytes that are known to be coming; the most that may be read without reading past the
    // message.
    std::uint64_t left() const noexcept { return left_; }

    // Takes the next piece of payload out of `in`, and says how much of `in` that used; both may be nothing.
    std::pair<std::string_view, std::size_t> next(std::string_view in) {
        const auto piece = take(in);
        if (copy_) {
            copy_->keep(piece.first);
            if (ended()) copy_->end();
        }
        return piece;
    }
    // What is moved past this cannot be kept, so it has to wait until nothing is kept any more.
    bool may_skip() const noexcept { return !copy_ || !copy_->whole(); }
    void skip(std::uint64_t n) noexcept {
        if (framing_.how == body_framing::kind::length) left_ -= n;
        if (framing_.how != body_framing::kind::chunked) return;
        decoder_->skip_payload(n);
        room_ -= n;
    }
    // What is still to come of the chunk that has begun, if all of it is allowed.
    std::uint64_t in_chunk() const noexcept {
        const std::uint64_t rest = framing_.how == body_framing::kind::chunked ? decoder_->payload_remaining() : 0;
        return rest <= room_ ? rest : 0;
    }
    // The connection has ended: whether the body may end so.
    bool end_of_connection() noexcept {
        ended_ = framing_.how == body_framing::kind::until_close;
        return ended_;
    }

private:
    std::pair<std::string_view, std::size_t> take(std::string_view in) {
        if (framing_.how == body_framing::kind::chunked) {
            const decode_result r = decoder_->decode(in);
            ended_ = r.state == decode_state::end;
            if (r.state == decode_state::error) fault_ = {errc::protocol, decoder_->error().reason};
            if (r.payload.size() > room_) fault_ = {errc::limit_exceeded, "it is longer than allowed"};
            room_ -= std::min<std::uint64_t>(room_, r.payload.size());
            return {r.payload, r.consumed};
        }
        const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(in.size(), left_));
        skip(n);
        return {in.substr(0, n), n};
    }

    body_framing framing_;
    chunked_decoder* decoder_;
    std::uint64_t left_ = std::numeric_limits<std::uint64_t>::max();
    bool ended_ = false;
    std::uint64_t room_; // what may still come, of a chunked body; a length is known before
    fault fault_{};
    replay_buffer* copy_;
};

std::span<char> slice_of(const body_source& s, std::span<char> room) {
    return room.first(std::min(room.size(), s.limits.slice()));
}

// Reads more, into a buffer borrowed when there is something to read. Gives 0 at the end of the connection.
task<std::size_t> read_more(body_source& s, source_pace& source, std::size_t buffer_bytes) {
    if (const duration pause = s.limits.pause(); pause != duration::zero()) co_await sleep_for(pause);
    source.wait();
    if (const auto ready = co_await s.from->readable(source.idle()); !ready)
        co_await fail(idle_if_timed_out(ready.error()), side::source);
    const auto n = co_await s.from->read_some(slice_of(s, s.in->room(memory_share(buffer_bytes))), source.idle());
    if (!n) {
        if (s.in->empty()) s.in->release();
        co_await fail(idle_if_timed_out(n.error()), side::source);
    }
    s.in->received(*n);
    if (*n == 0 && s.in->empty()) s.in->release();
    if (*n != 0)
        if (const auto slow = source.moved(*n)) co_await fail(slow, side::source, "it is slower than the minimum rate");
    co_return *n;
}

stream<chunk> body_stream(body_source s) {
    unframer body(s);
    source_pace source(s.limits.source);
    while (!body.ended()) {
        if (s.in->empty() && co_await read_more(s, source, s.limits.buffer_bytes) == 0) {
            if (!body.end_of_connection()) co_await fail(errc::premature_close);
            co_return;
        }
        const auto [payload, used] = body.next(s.in->bytes());
        if (body.wrong().reason) co_await fail(body.wrong().code, body.wrong().reason);
        chunk piece = payload.empty() ? chunk() : s.in->share(payload);
        s.in->consume(used);
        if (s.limits.total) *s.limits.total += piece.size();
        if (s.limits.rate) s.limits.rate->moved(piece.size());
        if (!piece.empty()) co_yield std::move(piece);
    }
}

} // namespace

stream<chunk> body_source::into_stream() && { return body_stream(*this); }

task<> body_sink::write(chunk payload) {
    const std::string_view piece = payload.text();
    co_await write(std::span(&piece, 1), false, {});
}

task<> body_sink::finish(std::string_view trailers) {
    if (!complete()) co_await fail(errc::protocol, "the body is shorter than its Content-Length");
    if (framing_.how == body_framing::kind::chunked || !head_.empty()) co_await write({}, true, trailers);
}

task<> body_sink::write(std::span<const std::string_view> pieces, bool last, std::string_view trailers) {
    std::array<iovec, pieces_max + 4> parts;
    std::size_t n = 0;
    auto add = [&](std::string_view text) {
        if (!text.empty()) parts[n++] = {const_cast<char*>(text.data()), text.size()};
    };
    add(head_.text());
    std::size_t payload = 0;
    for (const std::string_view p : pieces) payload += p.size();
    const bool chunked = framing_.how == body_framing::kind::chunked;
    std::array<char, chunk_header_max> header;
    if (chunked && payload != 0) add({header.data(), write_chunk_header(header, payload)});
    for (const std::string_view p : pieces) add(p);
    if (chunked && payload != 0) add(chunk_end);
    if (chunked && last) {
        add("0\r\n");
        add(trailers);
        add("\r\n");
    }
    written_ += payload;
    if (n == 0) co_return;
    co_await send(std::span(parts.data(), n), payload, followed_by::anything);
    head_ = chunk();
}

task<> body_sink::send(std::span<iovec> parts, std::size_t payload, followed_by next) {
    pace_.wait();
    for (;;) {
        const auto written = co_await to_->write_all(parts, pace_.look_after(), next);
        if (written) break;
        if (written.error() != errc::timed_out) co_await fail(written.error(), side::sink);
        if (const auto idle = pace_.look(*to_)) co_await fail(idle, side::sink);
    }
    if (const auto slow = pace_.moved(*to_, payload))
        co_await fail(slow, side::sink, "it is slower than the minimum rate");
}

task<> body_sink::splice(pipe_lease& pipe, joint& out, std::uint64_t* total) {
    kernel& os = loop::current().os();
    const memory_charge in_kernel(pipe.bytes);
    const held_bytes held(out, pipe.bytes);
    const bool chunked = framing_.how == body_framing::kind::chunked;
    out.begin_pull(executor::current().turn_time());
    if (chunked) {
        std::array<char, chunk_header_max> header;
        iovec begin{header.data(), write_chunk_header(header, pipe.bytes)};
        co_await send(std::span(&begin, 1), 0, followed_by::more);
    }
    pace_.wait();
    const unsigned more = chunked ? SPLICE_F_MORE : 0;
    while (pipe.bytes != 0) {
        const ssize_t n = os.splice(pipe.read_end(), to_->fd(), pipe.bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK | more);
        if (n > 0) {
            const auto moved = static_cast<std::size_t>(n);
            pipe.bytes -= moved;
            written_ += moved;
            out.set_held(pipe.bytes);
            out.moved(moved);
            if (total) *total += moved;
            if (const auto slow = pace_.moved(*to_, moved))
                co_await fail(slow, side::sink, "it is slower than the minimum rate");
            continue;
        }
        if (n != -EAGAIN) co_await fail(system_error_code(n == 0 ? EPIPE : static_cast<int>(-n)), side::sink);
        to_->state().writable = false;
        while (!co_await to_->writable(pace_.look_after()))
            if (const auto idle = pace_.look(*to_)) co_await fail(idle, side::sink);
    }
    if (chunked) {
        iovec end{const_cast<char*>(chunk_end.data()), chunk_end.size()};
        co_await send(std::span(&end, 1), 0, followed_by::anything);
    }
    out.stop(executor::current().turn_time());
}

namespace {

// Whether sendfile(2) failed for want of the file's bytes, not of the socket.
bool is_of_file(int error) noexcept { return error == EIO || error == ESTALE || error == EINVAL || error == EOVERFLOW; }

} // namespace

task<> body_sink::send_file(int file, std::uint64_t at, std::size_t bytes, joint& out, std::uint64_t* total) {
    kernel& os = loop::current().os();
    pace_.wait();
    while (bytes != 0) {
        const ssize_t n = os.send_file(to_->fd(), file, at, bytes);
        if (n == 0) co_await fail(errc::premature_close, side::source, "the file has become shorter");
        if (n < 0 && n != -EAGAIN) {
            const int error = static_cast<int>(-n);
            co_await fail(system_error_code(error), is_of_file(error) ? side::source : side::sink);
        }
        if (n == -EAGAIN) {
            to_->state().writable = false;
            while (!co_await to_->writable(pace_.look_after()))
                if (const auto idle = pace_.look(*to_)) co_await fail(idle, side::sink);
            continue;
        }
        const auto sent = static_cast<std::size_t>(n);
        at += sent;
        bytes -= sent;
        written_ += sent;
        out.moved(sent);
        if (total) *total += sent;
        if (const auto slow = pace_.moved(*to_, sent))
            co_await fail(slow, side::sink, "it is slower than the minimum rate");
    }
}

namespace {

// Gathers what is there of the body and sends it on at once.
task<> relay_available(body_source& s, body_sink& sink, unframer& body, joint& out) {
    std::array<std::string_view, body_sink::pieces_max> pieces;
    std::size_t count = 0;
    std::size_t used = 0;
    std::size_t payload = 0;
    const chunk keep = s.in->hold();
    const std::string_view all = s.in->bytes();
    while (count < pieces.size() && used < all.size() && !body.ended()) {
        const auto [piece, n] = body.next(all.substr(used));
        if (body.wrong().reason) co_await fail(body.wrong().code, side::source, body.wrong().reason);
        used += n;
        payload += piece.size();
        if (!piece.empty()) pieces[count++] = piece;
        if (n == 0) break;
    }
    s.in->consume(used);
    const held_bytes held(out, payload);
    const bool chunked = s.framing.how == body_framing::kind::chunked;
    const bool last = body.ended();
    out.begin_pull(executor::current().turn_time());
    if (payload != 0 || last || !sink.head_sent())
        co_await sink.write({pieces.data(), count}, last, last && chunked ? s.decoder->trailers() : std::string_view());
    out.stop(executor::current().turn_time());
    out.moved(payload);
    if (s.limits.total) *s.limits.total += payload;
    if (s.limits.rate) s.limits.rate->moved(payload);
}

// Has the kernel move what is left of the chunk that has begun, each piece of it that is there at one time as a chunk.
// Gives false if that is not worth while, or there is no pipe: then the rest is to be copied.
task<bool> relay_chunk(body_source& s, body_sink& sink, unframer& body, source_pace& pace, joint& out) {
    kernel& os = loop::current().os();
    int small = 0;
    while (body.in_chunk() != 0) {
        if (const duration pause = s.limits.pause(); pause != duration::zero()) co_await sleep_for(pause);
        pace.wait();
        if (const auto ready = co_await s.from->readable(pace.idle()); !ready)
            co_await fail(idle_if_timed_out(ready.error()), side::source);
        pipe_lease pipe = s.limits.pipes->borrow();
        if (!pipe) {
            s.limits.pipes = nullptr;
            co_return false;
        }
        const std::size_t most = std::min({memory_share(s.limits.pipes->pipe_bytes()), s.limits.slice(), sink.slice()});
        const std::size_t want = std::min<std::uint64_t>(most, body.in_chunk());
        const ssize_t n = os.splice(s.from->fd(), pipe.write_end(), want, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n == -EAGAIN) {
            s.from->state().readable = false;
            continue;
        }
        if (n < 0) co_await fail(system_error_code(static_cast<int>(-n)), side::source);
        if (n == 0) co_await fail(errc::premature_close, side::source);
        pipe.bytes = static_cast<std::size_t>(n);
        if (const auto slow = pace.moved(pipe.bytes))
            co_await fail(slow, side::source, "it is slower than the minimum rate");
        const std::size_t moved = pipe.bytes;
        co_await sink.splice(pipe, out, s.limits.total);
        body.skip(moved);
        if (s.limits.rate) s.limits.rate->moved(moved);
        small = moved < small_piece && body.in_chunk() != 0 ? small + 1 : 0;
        if (small > 2) co_return false;
    }
    co_return true;
}

// Whether the kernel can move bytes between the two as they are.
bool can_splice(const body_source& s, const body_sink& sink) {
    return s.limits.pipes && s.from->plain() && sink.to().plain();
}

} // namespace

task<> relay(body_source source, body_sink sink, joint& out, headgate::detail::chain_limits& limits) {
    out.of = (co_await here()).of;
    out.limit = source.limits.buffer_bytes;
    limits.start();
    unframer body(source);
    source_pace pace(source.limits.source);
    sink.set_source(*source.from);
    std::size_t size = std::min(first_buffer, source.limits.buffer_bytes);
    int full = 0;
    bool more = !source.in->empty() || !sink.head_sent() || body.ended();
    for (;;) {
        if (more) co_await relay_available(source, sink, body, out);
        if (body.ended()) break;
        const bool bulk =
            full >= 2 && source.in->empty() && body.left() > source.limits.buffer_bytes && body.may_skip();
        if (bulk && plain(source.framing) && plain(sink.framing())) {
            relay_limits rest = source.limits;
            rest.bytes_max = body.left();
            const std::uint64_t n = co_await relay_bytes(*source.from, sink.to(), rest, out);
            body.skip(n);
            sink.count(n);
            if (body.ended()) break;
            if (!body.end_of_connection()) co_await fail(errc::premature_close, side::source);
            break;
        }
        if (!source.in->empty()) continue; // more pieces than one write takes
        more = true;
        if (full >= 2 && body.in_chunk() >= large_chunk && body.may_skip() && can_splice(source, sink)) {
            if (!co_await relay_chunk(source, sink, body, pace, out)) full = 0;
            if (full != 0 && co_await read_more(source, pace, framing_read) == 0)
                co_await fail(errc::premature_close, side::source);
            continue;
        }
        const std::size_t n = co_await read_more(source, pace, std::min(size, sink.slice()));
        if (n == 0) {
            if (!body.end_of_connection()) co_await fail(errc::premature_close, side::source);
            break;
        }
        full = n == size ? full + 1 : 0;
        if (full >= 2) size = std::min(size * 4, source.limits.buffer_bytes);
        if (n < size / 4) size = std::min(first_buffer, source.limits.buffer_bytes);
    }
    if (!sink.complete()) co_await fail(errc::protocol, side::sink, "the body is shorter than its Content-Length");
}

} // namespace headgate::http
