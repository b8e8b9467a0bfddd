#pragma once

#include <headgate/core/chunk.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

namespace headgate {

// Chunks in their order. Small ones, and those that fill less than half of their buffer, are packed together, so that
// buffers take at most about twice the bytes that are counted.
class chunk_queue {
public:
    // Buffers that chunks are packed into have so many bytes.
    explicit chunk_queue(std::size_t pack_bytes) noexcept : pack_bytes_(pack_bytes) {}

    std::size_t bytes() const noexcept { return bytes_; }
    bool empty() const noexcept { return chunks_.empty(); }

    void add(chunk item) {
        bytes_ += item.size();
        constexpr std::size_t packed_below = 16 * 1024;
        const bool loose = item.size() < packed_below || item.size() < item.capacity() / 2;
        if (!loose || chunks_.empty()) return chunks_.push_back(std::move(item));
        if (chunks_.back().append(item.text())) return;
        chunk pack(std::max(item.size(), pack_bytes_));
        pack.truncate(0);
        pack.append(item.text());
        chunks_.push_back(std::move(pack));
    }
    // Takes the first chunk, or its first `most` bytes.
    chunk take(std::size_t most = SIZE_MAX) {
        chunk& first = chunks_.front();
        const std::size_t n = std::min(first.size(), most);
        bytes_ -= n;
        chunk taken;
        if (n < first.size()) {
            taken = first.slice(0, n);
            first.remove_prefix(n);
        } else {
            taken = std::move(first);
            chunks_.pop_front();
        }
        return taken;
    }
    // As the first again.
    void put_back(chunk item) {
        bytes_ += item.size();
        chunks_.push_front(std::move(item));
    }
    // Appends what follows the first chunks, of which at most `keep` bytes stay, to `to`.
    void move_rest(std::size_t keep, chunk_queue& to) {
        std::size_t n = 0, kept = 0;
        while (n < chunks_.size() && kept + chunks_[n].size() <= keep) kept += chunks_[n++].size();
        for (std::size_t i = n; i < chunks_.size(); ++i) to.chunks_.push_back(std::move(chunks_[i]));
        chunks_.resize(n);
        to.bytes_ += bytes_ - kept;
        bytes_ = kept;
    }

private:
    std::size_t pack_bytes_;
    std::deque<chunk> chunks_;
    std::size_t bytes_ = 0;
};

} // namespace headgate
