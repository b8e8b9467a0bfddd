#include <cstdint>
#include <map>
#include <unordered_map>

#include <fmt/format.h>

#include <gateway/observe/flow_registry.hpp>
#include <gateway/post_mortem/dump.hpp>
#include <gateway/post_mortem/symbols.hpp>

namespace headgate::gateway {

namespace {

struct tree {
    std::string text;
    std::size_t times = 0;
};

bool lies_in(const void* p, const stack_frame& f) {
    const auto at = reinterpret_cast<std::uintptr_t>(p);
    const auto begin = reinterpret_cast<std::uintptr_t>(f.frame);
    return at >= begin && at - begin < f.bytes;
}

// In the order in which they come first. One that serves a flow is like no other.
std::vector<tree> distinct_trees(const std::vector<stack_frame>& frames, const std::vector<flow_note>& flows,
                                 const symbols& names) {
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
        for (const flow_note& n : flows)
            if (lies_in(n.entry, f)) text.insert(0, fmt::format("    {}\n", n.text));
        std::string& name = known[f.code];
        if (name.empty()) name = names.function(f.code);
        text += fmt::format("{:{}}{}, {} bytes\n", "", 2 * f.depth + 4, name, f.bytes);
    }
    end_tree();
    return all;
}

} // namespace

worker_stacks stacks_of(const flow_registry& flows) {
    worker_stacks all{.name = {}, .frames = coroutine_stacks()};
    const time_point now = executor::current().turn_time();
    const auto seconds = [&](duration d) { return std::chrono::duration<double>(d).count(); };
    flows.each([&](const live_flow& f) {
        if (all.flows.size() == worker_stacks::flows_max) return;
        const flow_facts is = f.facts();
        std::string text = fmt::format("{} {}: {} {} of {}, {:.3f} s old, {} for {:.3f} s", to_string(f.kind),
                                       is.request_id, is.method, is.target, is.client ? is.client->text() : "?",
                                       seconds(now - f.begun()), to_string(f.phase()), seconds(now - f.since()));
        if (const auto v = f.verdict(now))
            text += fmt::format(", slowed by {} ({:.0f} %)", to_string(v->party), 100 * v->share);
        all.flows.push_back({.entry = &f, .text = std::move(text)});
    });
    return all;
}

std::string text_of(const worker_stacks& stacks, const symbols& names) {
    if (!stacks.frames) return fmt::format("{}: does not come back to its loop\n", stacks.name);
    std::string out = fmt::format("{}: {} coroutine(s)\n", stacks.name, stacks.frames->size());
    for (const tree& t : distinct_trees(*stacks.frames, stacks.flows, names)) {
        out += t.times == 1 ? "  once\n" : fmt::format("  {} times\n", t.times);
        out += t.text;
    }
    return out;
}

} // namespace headgate::gateway
