#include <headgate/io/pipe_pool.hpp>

namespace headgate {

pipe_pool::~pipe_pool() {
    for (const auto& [read, write] : idle_) {
        os_.close(read);
        os_.close(write);
    }
}

pipe_lease pipe_pool::borrow() noexcept {
    if (on_loan_ >= limits_.pipes_max) return {};
    if (idle_.empty()) {
        int ends[2];
        if (os_.pipe(ends, limits_.pipe_bytes) < 0) return {};
        ++on_loan_;
        return {*this, ends[0], ends[1]};
    }
    const auto [read, write] = idle_.back();
    idle_.pop_back();
    ++on_loan_;
    return {*this, read, write};
}

void pipe_pool::take_back(int read, int write, bool clean) noexcept {
    --on_loan_;
    if (clean && idle_.size() < limits_.idle_max) {
        idle_.emplace_back(read, write);
        return;
    }
    os_.close(read);
    os_.close(write);
}

} // namespace headgate
