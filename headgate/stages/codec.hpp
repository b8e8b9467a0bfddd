#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/stream.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

// What the compressing and decompressing stages share.
namespace headgate::detail {

// What one step works on: the rest of the input and the room for output. A step takes from the front of both.
struct codec_buffers {
    std::string_view in;
    std::span<char> out;

    void took(std::size_t input, std::size_t output) noexcept {
        in.remove_prefix(input);
        out = out.subspan(output);
    }
};

enum class codec_step {
    again,  // there was no room left: there may be more to write
    done,   // all input is taken; at the last step also: all output is written
    failed, // see problem()
};

// What recode() needs of a codec. `last` says that there is no more input.
template <class Codec>
concept codec = requires(Codec& c, codec_buffers& b, bool last) {
    { c.step(b, last) } -> std::same_as<codec_step>;
    { c.memory() } -> std::convertible_to<std::size_t>; // bytes of its state now, about
    { c.error } -> std::convertible_to<std::error_code>;
    { c.problem } -> std::convertible_to<std::string_view>;
    requires std::same_as<const bool, decltype(Codec::prompt)>; // whether output is given on with each input
};

inline constexpr std::size_t codec_output = chunk_large; // what comes out at once, at most

// Runs everything through a codec. Output goes into chunks of codec_output bytes, filled to the end unless the codec is
// prompt.
template <codec Codec, class... Args>
stream<chunk> recode(stream<chunk> in, Args... args) {
    place& at = co_await here();
    const auto codec = std::make_unique<Codec>(args...);
    chunk out;
    std::size_t filled = 0;
    std::uint64_t taken = 0;
    for (bool last = false; !last;) {
        const std::optional<chunk> item = co_await in.next();
        last = !item;
        if (item && item->empty()) continue;
        codec_buffers b{item ? item->text() : std::string_view(), {}};
        for (codec_step step = codec_step::again; step == codec_step::again;) {
            if (out.empty()) out = chunk(codec_output);
            b.out = out.bytes().subspan(filled);
            step = codec->step(b, last);
            if (step == codec_step::failed) {
                const std::uint64_t where = taken + (item ? item->size() : 0) - b.in.size();
                co_await fail(codec->error, std::string(codec->problem) + " at byte " + std::to_string(where));
            }
            filled = out.size() - b.out.size();
            if (b.out.empty()) {
                filled = 0;
                co_yield std::exchange(out, {});
            } else if (Codec::prompt && filled != 0 && step == codec_step::done) {
                co_yield out.slice(0, filled);
                out.remove_prefix(std::exchange(filled, 0));
            }
        }
        if (item) taken += item->size();
        hold(at, codec->memory() + out.capacity());
    }
    if (filled == 0) co_return;
    out.truncate(filled);
    co_yield std::move(out);
}

} // namespace headgate::detail
