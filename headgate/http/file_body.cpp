#include <headgate/core/memory_budget.hpp>
#include <headgate/http/file_body.hpp>

#include <algorithm>

namespace headgate::http {

namespace {

constexpr std::size_t first_bytes = chunk_medium; // of a part that goes on by sendfile

// The next bytes of the file, all of them.
task<chunk> read_all(files::open_file& file, std::uint64_t at, std::size_t bytes) {
    auto data = co_await files::read_at(file, at, bytes);
    if (!data) co_await fail(data.error(), side::source, "the file cannot be read");
    if (data->size() != bytes) co_await fail(errc::premature_close, side::source, "the file has become shorter");
    co_return std::move(*data);
}

stream<chunk> file_stream(file_source s) {
    for (file_piece& p : s.pieces) {
        if (!p.before.empty()) co_yield chunk(p.before);
        while (p.bytes != 0) {
            const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(p.bytes, memory_share(s.chunk_bytes)));
            chunk data = co_await read_all(s.file, p.offset, n);
            p.offset += n;
            p.bytes -= n;
            if (s.total) *s.total += n;
            co_yield std::move(data);
        }
    }
    if (!s.after.empty()) co_yield chunk(s.after);
}

} // namespace

stream<chunk> file_source::into_stream() && { return file_stream(std::move(*this)); }

task<> relay(file_source source, body_sink sink, joint& out, headgate::detail::chain_limits& limits) {
    out.of = (co_await here()).of;
    out.limit = source.chunk_bytes;
    limits.start();
    const bool by_kernel = sink.to().plain() && sink.framing().how != body_framing::kind::chunked;
    for (file_piece& p : source.pieces) {
        const std::size_t most = by_kernel ? std::min(first_bytes, source.chunk_bytes) : source.chunk_bytes;
        std::size_t n = 0;
        for (bool first = true; p.bytes != 0; first = false) {
            if (by_kernel && !first) {
                n = static_cast<std::size_t>(std::min<std::uint64_t>(p.bytes, file_slice));
                if (const auto e = co_await files::bring_in(source.file, p.offset, n))
                    co_await fail(e, side::source, "the file cannot be read");
                out.begin_pull(executor::current().turn_time());
                co_await sink.send_file(source.file.fd(), p.offset, n, out, source.total);
                out.stop(executor::current().turn_time());
                if (p.bytes > n) co_await next_turn();
            } else {
                n = static_cast<std::size_t>(std::min<std::uint64_t>(p.bytes, memory_share(most)));
                const chunk data = co_await read_all(source.file, p.offset, n);
                const held_bytes held(out, n);
                const std::array<std::string_view, 2> parts{first ? std::string_view(p.before) : std::string_view(),
                                                            data.text()};
                out.begin_pull(executor::current().turn_time());
                co_await sink.write(parts, false, {});
                out.stop(executor::current().turn_time());
                out.moved(n);
                if (source.total) *source.total += n;
            }
            p.offset += n;
            p.bytes -= n;
        }
    }
    source.file = files::open_file();
    if (!source.after.empty()) co_await sink.write(chunk(source.after));
    co_await sink.finish();
}

} // namespace headgate::http
