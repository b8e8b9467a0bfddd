#include <headgate/stages/codec.hpp>
#include <headgate/stages/gzip.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <new>
#include <stdexcept>

#include <isa-l/igzip_lib.h>
#include <zlib.h>

namespace headgate {

namespace {

using detail::codec_buffers;
using detail::codec_flush;
using detail::codec_goal;
using detail::codec_step;

constexpr int gzip_window = MAX_WBITS + 16; // zlib's way to say gzip instead of zlib

// Both libraries count in 32 bits.
std::uint32_t at_once(std::size_t bytes) noexcept {
    return static_cast<std::uint32_t>(std::min<std::size_t>(bytes, std::numeric_limits<std::uint32_t>::max()));
}
std::uint8_t* unsigned_bytes(const char* bytes) noexcept {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(bytes));
}

class isal_encoder {
public:
    static constexpr bool prompt = false;
    std::error_code error = errc::failed;
    std::string_view problem = "gzip: the compressor failed";

    isal_encoder() {
        ::isal_deflate_init(&z_);
        z_.level = 1;
        z_.level_buf = buffer_.data();
        z_.level_buf_size = static_cast<std::uint32_t>(buffer_.size());
        z_.gzip_flag = IGZIP_GZIP;
    }
    std::size_t memory() const noexcept { return sizeof *this; }

    codec_step step(codec_buffers& b, codec_goal goal) noexcept {
        const std::uint32_t in = z_.avail_in = at_once(b.in.size());
        const std::uint32_t out = z_.avail_out = at_once(b.out.size());
        z_.next_in = unsigned_bytes(b.in.data());
        z_.next_out = unsigned_bytes(b.out.data());
        z_.end_of_stream = goal == codec_goal::end;
        z_.flush = goal == codec_goal::flush ? SYNC_FLUSH : NO_FLUSH;
        if (::isal_deflate(&z_) != COMP_OK) return codec_step::failed;
        b.took(in - z_.avail_in, out - z_.avail_out);
        if (goal == codec_goal::end)
            return z_.internal_state.state == ZSTATE_END ? codec_step::done : codec_step::again;
        return b.in.empty() && !b.out.empty() ? codec_step::done : codec_step::again;
    }

private:
    isal_zstream z_;
    std::array<std::uint8_t, ISAL_DEF_LVL1_DEFAULT> buffer_;
};

// A zlib stream, whose fields are set and read around each call.
class zlib_stream {
public:
    zlib_stream() = default;
    zlib_stream(const zlib_stream&) = delete;
    zlib_stream& operator=(const zlib_stream&) = delete;

    int call(int (*function)(z_stream*, int), codec_buffers& b, int flush) noexcept {
        const std::uint32_t in = z.avail_in = at_once(b.in.size());
        const std::uint32_t out = z.avail_out = at_once(b.out.size());
        z.next_in = unsigned_bytes(b.in.data());
        z.next_out = unsigned_bytes(b.out.data());
        const int r = function(&z, flush);
        b.took(in - z.avail_in, out - z.avail_out);
        return r;
    }

    z_stream z{};
};

class zlib_encoder {
public:
    static constexpr bool prompt = false;
    std::error_code error = errc::failed;
    std::string_view problem = "gzip: the compressor failed";

    explicit zlib_encoder(int level) {
        if (::deflateInit2(&stream_.z, level, Z_DEFLATED, gzip_window, 8, Z_DEFAULT_STRATEGY) != Z_OK)
            throw std::bad_alloc();
    }
    ~zlib_encoder() { ::deflateEnd(&stream_.z); }
    std::size_t memory() const noexcept { return 268 * 1024; } // zconf.h: (1 << 17) + (1 << 17), and a little

    codec_step step(codec_buffers& b, codec_goal goal) noexcept {
        const int r = stream_.call(&::deflate, b,
                                   goal == codec_goal::end     ? Z_FINISH
                                   : goal == codec_goal::flush ? Z_SYNC_FLUSH
                                                               : Z_NO_FLUSH);
        if (r == Z_STREAM_ERROR) return codec_step::failed;
        if (goal == codec_goal::end) return r == Z_STREAM_END ? codec_step::done : codec_step::again;
        return b.in.empty() && !b.out.empty() ? codec_step::done : codec_step::again;
    }

private:
    zlib_stream stream_;
};

class zlib_decoder {
public:
    static constexpr bool prompt = true;
    std::error_code error = errc::protocol;
    std::string_view problem;

    zlib_decoder() {
        if (::inflateInit2(&stream_.z, gzip_window) != Z_OK) throw std::bad_alloc();
    }
    ~zlib_decoder() { ::inflateEnd(&stream_.z); }
    std::size_t memory() const noexcept { return 44 * 1024; } // zconf.h: (1 << 15), and about 7 KB

    codec_step step(codec_buffers& b, codec_goal goal) noexcept {
        if (goal == codec_goal::end) return in_member_ || !seen_ ? cut() : codec_step::done;
        if (b.in.empty() && !in_member_) return codec_step::done;
        if (!in_member_ && seen_) ::inflateReset(&stream_.z);
        in_member_ = seen_ = true;
        const int r = stream_.call(&::inflate, b, Z_NO_FLUSH);
        if (r == Z_STREAM_END) {
            in_member_ = false;
        } else if (r != Z_OK && r != Z_BUF_ERROR) { // the latter: nothing to do
            if (r == Z_MEM_ERROR) error = make_error_code(std::errc::not_enough_memory);
            problem = stream_.z.msg ? stream_.z.msg : "gzip: the data is damaged";
            return codec_step::failed;
        }
        return b.in.empty() && !b.out.empty() ? codec_step::done : codec_step::again;
    }

private:
    codec_step cut() noexcept {
        error = errc::premature_close;
        problem = "gzip: the data is cut short";
        return codec_step::failed;
    }

    zlib_stream stream_;
    bool seen_ = false;
    bool in_member_ = false;
};

} // namespace

gzip::gzip(gzip_options o) : level_(o.level), flush_when_idle_(o.flush_when_idle) {
    if (level_ < 0 || level_ > 9) throw std::invalid_argument("gzip has the levels 0 to 9");
}

stream<chunk> gzip::operator()(stream<chunk> in) const {
    const codec_flush flush = flush_when_idle_ ? codec_flush::when_idle : codec_flush::at_end;
    if (level_ == 1) return detail::recode<isal_encoder>(std::move(in), flush);
    return detail::recode<zlib_encoder>(std::move(in), flush, level_);
}

stream<chunk> gunzip::operator()(stream<chunk> in) const {
    return detail::recode<zlib_decoder>(std::move(in), codec_flush::at_end);
}

} // namespace headgate
