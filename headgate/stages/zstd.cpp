#include <headgate/stages/codec.hpp>
#include <headgate/stages/zstd.hpp>

#include <new>
#include <stdexcept>

#include <zstd.h>
#include <zstd_errors.h>

namespace headgate {

namespace {

using detail::codec_buffers;
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

    explicit zstd_encoder(int level) : context_(::ZSTD_createCCtx()) {
        if (!context_) throw std::bad_alloc();
        ::ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level);
        ::ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
    }
    std::size_t memory() const noexcept { return ::ZSTD_sizeof_CCtx(context_.get()); }

    codec_step step(codec_buffers& b, bool last) noexcept {
        ZSTD_inBuffer in{b.in.data(), b.in.size(), 0};
        ZSTD_outBuffer out{b.out.data(), b.out.size(), 0};
        const std::size_t r = ::ZSTD_compressStream2(context_.get(), &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        b.took(in.pos, out.pos);
        if (::ZSTD_isError(r)) {
            problem = ::ZSTD_getErrorName(r);
            return codec_step::failed;
        }
        if (last) return r == 0 ? codec_step::done : codec_step::again;
        return b.in.empty() && !b.out.empty() ? codec_step::done : codec_step::again;
    }

private:
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

    codec_step step(codec_buffers& b, bool last) noexcept {
        if (last) return in_frame_ || !seen_ ? cut() : codec_step::done;
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

zstd::zstd(zstd_options o) : level_(o.level) {
    if (level_ < 1 || level_ > 19) throw std::invalid_argument("zstd has the levels 1 to 19");
}

stream<chunk> zstd::operator()(stream<chunk> in) const { return detail::recode<zstd_encoder>(std::move(in), level_); }

stream<chunk> unzstd::operator()(stream<chunk> in) const {
    return detail::recode<zstd_decoder>(std::move(in), window_log_max_);
}

} // namespace headgate
