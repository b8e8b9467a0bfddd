#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/core/memory_budget.hpp>

#include <algorithm>
#include <cstddef>
#include <new>
#include <string_view>

namespace headgate::http {

// A body as far as it has been taken from its connection, kept so that it can be sent once more. It holds at most
// `limit` bytes; of a body that is longer, or for which there is no memory, nothing is kept any more.
class replay_buffer {
public:
    explicit replay_buffer(std::size_t limit) noexcept : limit_(limit) {}

    void keep(std::string_view payload) noexcept {
        if (!whole_ || payload.empty()) return;
        if (payload.size() > limit_ - bytes_.size() || !append(payload)) give_up();
    }
    // The body has ended.
    void end() noexcept { ended_ = true; }
    void give_up() noexcept {
        whole_ = false;
        bytes_ = chunk();
    }

    // Whether all that was taken is here.
    bool whole() const noexcept { return whole_; }
    bool ended() const noexcept { return ended_; }
    std::string_view bytes() const noexcept { return bytes_.text(); }
    // The same, sharing the buffer: nothing more is kept while it lives.
    chunk share() const noexcept { return bytes_; }

private:
    // Buffers grow by their size classes.
    bool append(std::string_view payload) noexcept {
        if (bytes_.append(payload)) return true;
        const std::size_t size =
            std::clamp((bytes_.size() + payload.size()) * 2, chunk_small, std::max(limit_, chunk_small));
        if (memory_share(size) < size) return false; // what streams is worth more
        try {
            chunk wider(size);
            wider.truncate(bytes_.text().copy(wider.data(), bytes_.size()));
            bytes_ = std::move(wider);
        } catch (const std::bad_alloc&) {
            return false;
        }
        return bytes_.append(payload);
    }

    std::size_t limit_;
    chunk bytes_;
    bool whole_ = true;
    bool ended_ = false;
};

} // namespace headgate::http
