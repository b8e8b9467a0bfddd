#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

/// What a fuzz target is: the function that libFuzzer calls, and what is asked after its corpus was run (replay.cpp).
// libFuzzer gives the name. NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace headgate::fuzz {

/// What is wrong when the whole corpus has been run; empty if nothing is.
std::string after_corpus();

/// The input in a block of exactly its size, so that AddressSanitizer sees a read beyond it.
class exact_bytes {
public:
    exact_bytes(const std::uint8_t* data, std::size_t size) : bytes_(std::make_unique<char[]>(size)), size_(size) {
        if (size != 0) std::memcpy(bytes_.get(), data, size);
    }
    std::string_view text() const { return {bytes_.get(), size_}; }

private:
    std::unique_ptr<char[]> bytes_;
    std::size_t size_;
};

} // namespace headgate::fuzz
