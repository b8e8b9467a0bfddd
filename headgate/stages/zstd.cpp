#include <headgate/stages/codec.hpp>
#include <headgate/stages/zstd.hpp>

#include <new>
#include <stdexcept>

#include <zstd.h>
#include <zstd_errors.h>

namespace headgate {

namespace {

using detail::codec_buffers;
using detail::codec_flush;
using detail::codec_goal;
using detail::codec_step;

struct free_context {
    void operator()(ZSTD_CCtx* c) const noexcept { ::ZSTD_freeCCtx(c); }
    void operator()(ZSTD_DCtx* c) const noexcept { ::ZSTD_freeDCtx(c); }
};

class zstd_encoder {
public:
    static constexpr bool prompt = false;
    std::error_code error = errc::failed;
    std::string_view problem;

    zstd_encoder(int level, int window_log) : context_(::ZSTD_createCCtx()) {
        if (!context_) throw std::bad_alloc();
        ::ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level);
        ::ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
        if (window_log != 0) ::ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_windowLog, window_log);
    }
    std::size_t memory() const noexcept { return ::ZSTD_sizeof_CCtx(context_.get()); }

    codec_step step(codec_buffers& b, codec_goal goal) noexcept {
        ZSTD_inBuffer in{b.in.data(), b.in.size(), 0};
        ZSTD_outBuffer out{b.out.data(), b.out.size(), 0};
        const std::size_t r = ::ZSTD_compressStream2(context_.get(), &out, &in, directive(goal));
        b.took(in.pos, out.pos);
        if (::ZSTD_isError(r)) {
            problem = ::ZSTD_getErrorName(r);
            return codec_step::failed;
        }
        if (goal != codec_goal::more) return r == 0 ? codec_step::done : codec_step::again;
        return b.in.empty() && !b.out.empty() ? codec_step::done : codec_step::again;
    }

private:
    static ZSTD_EndDirective directive(codec_goal goal) noexcept {
        return goal == codec_goal::end ? ZSTD_e_end : goal == codec_goal::flush ? ZSTD_e_flush : ZSTD_e_continue;
    }

    std::unique_ptr<ZSTD_CCtx, free_context> context_;
};

class zstd_decoder {
public:
    static constexpr bool prompt = true;
    std::error_code error = errc::protocol;
    std::string_view problem;

    explicit zstd_decoder(int window_log_max) : context_(::ZSTD_createDCtx()) {
        if (!context_) throw std::bad_alloc();
        if (::ZSTD_isError(::ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, window_log_max)))
            throw std::invalid_argument("unzstd: no such window_log_max");
    }
    std::size_t memory() const noexcept { return ::ZSTD_sizeof_DCtx(context_.get()); }

    codec_step step(codec_buffers& b, codec_goal goal) noexcept {
        if (goal == codec_goal::end) return in_frame_ || !seen_ ? cut() : codec_step::done;
        if (b.in.empty() && !in_frame_) return codec_step::done;
        ZSTD_inBuffer in{b.in.data(), b.in.size(), 0};
        ZSTD_outBuffer out{b.out.data(), b.out.size(), 0};
        const std::size_t r = ::ZSTD_decompressStream(context_.get(), &out, &in);
        b.took(in.pos, out.pos);
        if (::ZSTD_isError(r)) {
            if (::ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation)
                error = make_error_code(std::errc::not_enough_memory);
            problem = ::ZSTD_getErrorName(r);
            return codec_step::failed;
        }
        seen_ = true;
        in_frame_ = r != 0;
        return b.in.empty() && !b.out.empty() ? codec_step::done : codec_step::again;
    }

private:
    codec_step cut() noexcept {
        error = errc::premature_close;
        problem = "zstd: the data is cut short";
        return codec_step::failed;
    }

    std::unique_ptr<ZSTD_DCtx, free_context> context_;
    bool seen_ = false;
    bool in_frame_ = false;
};

} // namespace

zstd::zstd(zstd_options o) : options_(o) {
    if (o.level < 1 || o.level > 19) throw std::invalid_argument("zstd has the levels 1 to 19");
    if (o.window_log != 0 && (o.window_log < 10 || o.window_log > 27))
        throw std::invalid_argument("zstd has windows of 1 << 10 to 1 << 27");
}

stream<chunk> zstd::operator()(stream<chunk> in) const {
    const codec_flush flush = options_.flush_when_idle ? codec_flush::when_idle : codec_flush::at_end;
    return detail::recode<zstd_encoder>(std::move(in), flush, options_.level, options_.window_log);
}

stream<chunk> unzstd::operator()(stream<chunk> in) const {
    return detail::recode<zstd_decoder>(std::move(in), codec_flush::at_end, window_log_max_);
}

} // namespace headgate
