#include <cstdio>
#include <string>

#include <fuzz/differences.hpp>

using namespace headgate::fuzz;

namespace {

std::string names(std::uint8_t in) {
    std::string out;
    const auto add = [&](what w, const char* name) {
        if ((in & w) != 0) out.append(out.empty() ? "" : ", ").append(name);
    };
    add(requests, "requests");
    add(responses, "responses");
    add(chunked_bodies, "chunked bodies");
    return out.empty() ? "-" : out;
}

void print(difference kind, const char* title, const char* first, const char* others) {
    std::printf("### %s\n\n| %s | llhttp %s | Beast %s | why |\n|---|---|---|---|\n", title, first, others, others);
    for (const known_difference& d : known_differences()) {
        if (d.kind != kind) continue;
        std::printf("| %.*s | %s | %s | %.*s |\n", static_cast<int>(d.key.size()), d.key.data(),
                    names(d.from_llhttp).c_str(), names(d.from_beast).c_str(), static_cast<int>(d.why.size()),
                    d.why.data());
    }
    std::printf("\n");
}

} // namespace

// Prints the known differences as docs/fuzzing.md shows them.
int main() {
    print(difference::stricter, "headgate refuses", "headgate's reason", "accepts it in");
    print(difference::wider, "headgate accepts", "the other's reason", "refuses it in");
    print(difference::otherwise, "Both accept", "headgate / the other", "differs in");
}
