#include <map>
#include <unordered_map>

#include <fmt/format.h>

#include <gateway/post_mortem/dump.hpp>
#include <gateway/post_mortem/symbols.hpp>

namespace headgate::gateway {

namespace {

struct tree {
    std::string text;
    std::size_t times = 0;
};

// In the order in which they come first.
std::vector<tree> distinct_trees(const std::vector<stack_frame>& frames, const symbols& names) {
    std::unordered_map<const void*, std::string> known;
    std::vector<tree> all;
    std::map<std::string, std::size_t> place;
    std::string text;
    const auto end_tree = [&] {
        if (text.empty()) return;
        const auto [at, is_new] = place.try_emplace(text, all.size());
        if (is_new) all.push_back({.text = text});
        ++all[at->second].times;
        text.clear();
    };
    for (const stack_frame& f : frames) {
        if (f.depth == 0) end_tree();
        std::string& name = known[f.code];
        if (name.empty()) name = names.function(f.code);
        text += fmt::format("{:{}}{}, {} bytes\n", "", 2 * f.depth + 4, name, f.bytes);
    }
    end_tree();
    return all;
}

} // namespace

std::string text_of(const worker_stacks& stacks, const symbols& names) {
    if (!stacks.frames) return fmt::format("{}: does not come back to its loop\n", stacks.name);
    std::string out = fmt::format("{}: {} coroutine(s)\n", stacks.name, stacks.frames->size());
    for (const tree& t : distinct_trees(*stacks.frames, names)) {
        out += t.times == 1 ? "  once\n" : fmt::format("  {} times\n", t.times);
        out += t.text;
    }
    return out;
}

} // namespace headgate::gateway
