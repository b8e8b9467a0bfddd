#include <fuzz/differential.hpp>
#include <fuzz/target.hpp>

using namespace headgate::fuzz;

// An input is a response head, after a byte that says what it answers: H for HEAD, anything else for GET.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const bool to_head = data[0] == 'H';
    const exact_bytes input(data + 1, size - 1);
    compare(responses, headgate_response(input.text(), to_head), llhttp_response(input.text(), to_head),
            beast_response(input.text(), to_head));
    return 0;
}

std::string headgate::fuzz::after_corpus() { return differences_not_met(responses); }
