#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/memory_budget.hpp>
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

// What a step is for.
enum class codec_goal {
    more,  // there will be more input: keep what is worth it
    flush, // all that was taken must come out: nothing more may come for a while. Of encoders only
    end    // there is no more input
};

enum class codec_step {
    again,  // there was no room left: there may be more to write
    done,   // all input is taken; unless the goal is `more`, also: all output is written
    failed, // see problem()
};

// What recode() needs of a codec.
template <class Codec>
concept codec = requires(Codec& c, codec_buffers& b, codec_goal goal) {
    { c.step(b, goal) } -> std::same_as<codec_step>;
    { c.memory() } -> std::convertible_to<std::size_t>; // bytes of its state now, about
    { c.error } -> std::convertible_to<std::error_code>;
    { c.problem } -> std::convertible_to<std::string_view>;
    requires std::same_as<const bool, decltype(Codec::prompt)>; // whether output is given on with each input
};

inline constexpr std::size_t codec_output = chunk_large; // what comes out at once, at most

// When what an encoder holds back is given out.
enum class codec_flush { at_end, when_idle };

// Runs everything through a codec. Output goes into chunks of codec_output bytes, less when memory is short, filled to
// the end unless the codec is prompt. With codec_flush::when_idle, the output for all input is given on whenever the
// source would have to be waited for.
template <codec Codec, class... Args>
stream<chunk> recode(stream<chunk> in, codec_flush flush, Args... args) {
    place& at = co_await here();
    const auto codec = std::make_unique<Codec>(args...);
    memory_charge state(codec->memory());
    chunk out;
    std::size_t filled = 0;
    std::uint64_t taken = 0;
    bool kept = false; // whether the codec may keep some of the input back
    for (codec_goal goal = codec_goal::more; goal != codec_goal::end;) {
        std::optional<chunk> item;
        if (kept && flush == codec_flush::when_idle && !co_await in.ready()) {
            goal = codec_goal::flush;
        } else {
            item = co_await in.next();
            goal = item ? codec_goal::more : codec_goal::end;
            if (item && item->empty()) continue;
        }
        kept = goal == codec_goal::more;
        codec_buffers b{item ? item->text() : std::string_view(), {}};
        for (codec_step step = codec_step::again; step == codec_step::again;) {
            if (out.empty()) out = chunk(memory_share(codec_output));
            b.out = out.bytes().subspan(filled);
            step = codec->step(b, goal);
            if (step == codec_step::failed) {
                const std::uint64_t where = taken + (item ? item->size() : 0) - b.in.size();
                co_await fail(codec->error, std::string(codec->problem) + " at byte " + std::to_string(where));
            }
            filled = out.size() - b.out.size();
            if (b.out.empty() || (goal == codec_goal::flush && filled != 0 && step == codec_step::done)) {
                out.truncate(std::exchange(filled, 0));
                hold(at, codec->memory());
                co_yield std::exchange(out, {});
            } else if (Codec::prompt && filled != 0 && step == codec_step::done) {
                co_yield out.slice(0, filled);
                out.remove_prefix(std::exchange(filled, 0));
            }
        }
        if (item) taken += item->size();
        state.set(codec->memory()); // it grows as it is used
        hold(at, codec->memory() + out.capacity());
    }
    if (filled == 0) co_return;
    out.truncate(filled);
    co_yield std::move(out);
}

} // namespace headgate::detail
