#include <fuzz/differential.hpp>
#include <fuzz/target.hpp>

using namespace headgate::fuzz;

// An input is a request head. headgate, llhttp and Beast must find the same in it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const exact_bytes input(data, size);
    compare(requests, headgate_request(input.text()), llhttp_request(input.text()), beast_request(input.text()));
    return 0;
}

std::string headgate::fuzz::after_corpus() { return differences_not_met(requests); }
