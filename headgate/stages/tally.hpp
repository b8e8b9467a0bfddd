#pragma once

#include <headgate/core/stream.hpp>

#include <cstdint>

namespace headgate {

struct tally_counts {
    std::uint64_t items = 0;
    std::uint64_t bytes = 0;
};

// The stage that counts what passes, and changes nothing. `counts` must outlive the chain, and is right at any moment
// of it.
class tally {
public:
    explicit tally(tally_counts* counts) noexcept : counts_(counts) {}

    template <class T>
    stream<T> operator()(stream<T> in) const {
        return pass(std::move(in), counts_);
    }
    const char* name() const noexcept { return "tally"; }

private:
    template <class T>
    static stream<T> pass(stream<T> in, tally_counts* counts) {
        while (std::optional<T> item = co_await in.next()) {
            ++counts->items;
            counts->bytes += item_bytes(*item);
            co_yield std::move(*item);
        }
    }

    tally_counts* counts_;
};

} // namespace headgate
