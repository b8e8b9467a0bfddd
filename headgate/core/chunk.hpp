#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace headgate {

// Buffers come in these sizes, from free lists per thread. A thread keeps at most `chunk_cache_bytes_max` of free
// buffers.
inline constexpr std::size_t chunk_small = 4 * 1024;
inline constexpr std::size_t chunk_medium = 16 * 1024;
inline constexpr std::size_t chunk_large = 64 * 1024;
inline constexpr std::size_t chunk_bulk = 256 * 1024;
inline constexpr std::size_t chunk_cache_bytes_max = 16 * 1024 * 1024;

// How many bytes of buffers this thread has in use: taken and not yet given back.
std::size_t live_chunk_bytes() noexcept;

// A run of bytes in a counted buffer. Moving is free, copying counts, slicing shares; the buffer goes back to its pool
// with the last chunk that refers to it. The bytes are writable as long as nobody else refers to the buffer.
//
// Counted without locks: chunks of one buffer belong to one thread at a time. A chunk that is alone with its buffer may
// be moved to another.
class chunk {
public:
    chunk() = default;
    // A chunk of `bytes` writable bytes, whose contents are undefined. Throws std::bad_alloc.
    explicit chunk(std::size_t bytes);
    // A chunk with a copy of `text`.
    explicit chunk(std::string_view text) : chunk(text.size()) { text.copy(data_, text.size()); }

    chunk(const chunk& o) noexcept : buffer_(o.buffer_), data_(o.data_), size_(o.size_) {
        if (buffer_) ++buffer_->references;
    }
    chunk(chunk&& o) noexcept
        : buffer_(std::exchange(o.buffer_, nullptr)), data_(std::exchange(o.data_, nullptr)),
          size_(std::exchange(o.size_, 0)) {}
    chunk& operator=(chunk o) noexcept {
        std::swap(buffer_, o.buffer_);
        std::swap(data_, o.data_);
        std::swap(size_, o.size_);
        return *this;
    }
    ~chunk() {
        if (buffer_ && --buffer_->references == 0) give_back(buffer_);
    }

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    char* data() noexcept { return data_; }
    const char* data() const noexcept { return data_; }
    std::string_view text() const noexcept { return {data_, size_}; }
    std::span<char> bytes() noexcept { return {data_, size_}; }
    bool contains(std::string_view needle) const noexcept { return text().find(needle) != std::string_view::npos; }

    // Drops bytes from the front, or from the end so that `n` are left. `n` is at most size().
    void remove_prefix(std::size_t n) noexcept {
        data_ += n;
        size_ -= n;
    }
    void truncate(std::size_t n) noexcept { size_ = n; }

    // Appends `text` in place if the buffer has room behind the chunk and no other chunk refers to it; tells whether it
    // has.
    bool append(std::string_view text) noexcept;

    // The `n` bytes at `from`, sharing the buffer.
    chunk slice(std::size_t from, std::size_t n) const noexcept {
        chunk part(*this);
        part.data_ += from;
        part.size_ = n;
        return part;
    }

    // How many bytes the buffer behind it has, in all.
    std::size_t capacity() const noexcept { return buffer_ ? buffer_->capacity : 0; }
    // Whether no other chunk refers to the buffer.
    bool alone() const noexcept { return !buffer_ || buffer_->references == 1; }

private:
    struct buffer {
        std::uint32_t references;
        std::uint32_t size_class;
        std::size_t capacity;
    };
    friend struct chunk_pool;
    static void give_back(buffer* b) noexcept;

    buffer* buffer_ = nullptr;
    char* data_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace headgate
