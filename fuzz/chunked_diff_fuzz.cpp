#include <fuzz/differential.hpp>
#include <fuzz/target.hpp>

using namespace headgate::fuzz;

// An input is a chunked body, perhaps with something behind it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const exact_bytes input(data, size);
    compare(chunked_bodies, headgate_chunked(input.text()), llhttp_chunked(input.text()), beast_chunked(input.text()));
    return 0;
}

std::string headgate::fuzz::after_corpus() { return differences_not_met(chunked_bodies); }
