#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include <fuzz/target.hpp>

// NAME_corpus FOLDER: runs the fuzz target over each file of the folder, without a fuzzer. What an input breaks stops
// the program, as it does under the fuzzer; the name of the input is the last thing printed then.
int main(int argc, char** argv) {
    namespace fs = std::filesystem;
    if (argc != 2) return std::fputs("usage: NAME_corpus FOLDER\n", stderr), 2;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(argv[1]))
        if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
        std::printf("%s\n", file.c_str());
        std::fflush(stdout);
        std::ifstream in(file, std::ios::binary);
        const std::vector<char> bytes(std::istreambuf_iterator<char>(in), {});
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    }
    const std::string wrong = headgate::fuzz::after_corpus();
    if (!wrong.empty()) std::printf("the corpus does not meet:\n%s", wrong.c_str());
    std::printf("%zu inputs\n", files.size());
    return wrong.empty() && !files.empty() ? 0 : 1;
}
