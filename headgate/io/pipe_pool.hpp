#pragma once

#include <headgate/io/kernel.hpp>

#include <cstddef>
#include <utility>
#include <vector>

namespace headgate {

class pipe_pool;

// A kernel pipe on loan, for splice(2). Goes back to its pool when destroyed empty, and is closed otherwise.
class pipe_lease {
public:
    pipe_lease() = default;
    pipe_lease(pipe_lease&& o) noexcept
        : bytes(std::exchange(o.bytes, 0)), pool_(std::exchange(o.pool_, nullptr)), read_(o.read_), write_(o.write_) {}
    pipe_lease& operator=(pipe_lease&& o) noexcept {
        if (this != &o) {
            give_back();
            bytes = std::exchange(o.bytes, 0);
            pool_ = std::exchange(o.pool_, nullptr);
            read_ = o.read_;
            write_ = o.write_;
        }
        return *this;
    }
    ~pipe_lease() { give_back(); }

    explicit operator bool() const noexcept { return pool_ != nullptr; }
    int read_end() const noexcept { return read_; }
    int write_end() const noexcept { return write_; }
    void give_back() noexcept;

    std::size_t bytes = 0; // what is in the pipe; kept by the user

private:
    friend pipe_pool;
    pipe_lease(pipe_pool& pool, int read, int write) noexcept : pool_(&pool), read_(read), write_(write) {}

    pipe_pool* pool_ = nullptr;
    int read_ = -1;
    int write_ = -1;
};

// The pipes of one loop. Each costs two descriptors and, while bytes are in it, kernel memory up to its size.
class pipe_pool {
public:
    struct limits {
        std::size_t pipes_max = 256;          // on loan at once; beyond it, relays copy
        std::size_t idle_max = 16;            // kept open for reuse
        std::size_t pipe_bytes = 1024 * 1024; // asked for; the kernel may give less (fs.pipe-max-size)
    };

    explicit pipe_pool(kernel& os) : pipe_pool(os, limits{}) {}
    pipe_pool(kernel& os, limits l) : os_(os), limits_(l) { idle_.reserve(l.idle_max); } // giving back must not fail
    pipe_pool(const pipe_pool&) = delete;
    pipe_pool& operator=(const pipe_pool&) = delete;
    ~pipe_pool();

    // A pipe, or none if the limit is met or the system has no more descriptors.
    pipe_lease borrow() noexcept;

    std::size_t pipe_bytes() const noexcept { return limits_.pipe_bytes; }
    std::size_t on_loan() const noexcept { return on_loan_; }

private:
    friend pipe_lease;
    void take_back(int read, int write, bool clean) noexcept;

    kernel& os_;
    limits limits_;
    std::size_t on_loan_ = 0;
    std::vector<std::pair<int, int>> idle_;
};

inline void pipe_lease::give_back() noexcept {
    if (pool_) std::exchange(pool_, nullptr)->take_back(read_, write_, bytes == 0);
}

} // namespace headgate
