#pragma once

#include <headgate/core/chunk.hpp>

#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

// What the stages that write text write to.
namespace headgate::detail {

// Text on its way into chunks of 64 KiB. Written in steps: one step takes `step_max` bytes of room at the most, and
// after it the full chunk, if there is one, is to be taken. So no more than two chunks are kept, whatever is written.
class text_output {
public:
    static constexpr std::size_t step_max = chunk_large;

    // At least `n` bytes in one piece, n at most step_max. used() says how far they were written.
    char* room(std::size_t n) {
        if (current_.size() - filled_ < n) begin_chunk();
        return current_.data() + filled_;
    }
    void used(const char* end) noexcept { filled_ = static_cast<std::size_t>(end - current_.data()); }

    void put(char c) {
        *room(1) = c;
        ++filled_;
    }
    void put(std::string_view text) {
        if (text.empty()) return;
        std::memcpy(room(text.size()), text.data(), text.size());
        filled_ += text.size();
    }

    bool full() const noexcept { return !full_.empty(); }
    chunk take_full() noexcept { return std::exchange(full_, {}); }

    // What has been written and not been taken; the rest of the buffer is used for what follows.
    bool begun() const noexcept { return filled_ != 0; }
    chunk take_begun() {
        chunk part = current_.slice(0, filled_);
        current_.remove_prefix(std::exchange(filled_, 0));
        return part;
    }

    std::size_t memory() const noexcept { return current_.capacity() + full_.capacity(); }

private:
    void begin_chunk() {
        if (filled_ != 0) full_ = take_begun();
        current_ = chunk(chunk_large);
        filled_ = 0;
    }

    chunk current_;
    std::size_t filled_ = 0;
    chunk full_;
};

} // namespace headgate::detail
