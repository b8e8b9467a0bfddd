#include <fuzz/differential.hpp>
#include <fuzz/target.hpp>

using namespace headgate::fuzz;

// An input is a request head. headgate, llhttp and Beast must find the same in it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const exact_bytes input(data, size);
    const reading ours = headgate_request(input.text());
    compare(requests, who::llhttp, ours, llhttp_request(input.text()));
    compare(requests, who::beast, ours, beast_request(input.text()));
    return 0;
}

std::string headgate::fuzz::after_corpus() { return differences_not_met(requests); }
