#include <headgate/core/promise.hpp>
#include <headgate/core/stacks.hpp>

#include <algorithm>
#include <cstring>

#include <malloc.h>

namespace headgate {

namespace {

constexpr std::size_t none = static_cast<std::size_t>(-1);

struct found {
    stack_frame what;
    const promise_base* promise;
    std::size_t holder = none;
    std::vector<std::size_t> held;
};

// A frame begins with the functions that resume and destroy it. The first is null when it has ended.
const void* code_of(const void* frame) {
    const void* code[2];
    std::memcpy(code, frame, sizeof code);
    return code[0] ? code[0] : code[1];
}

std::vector<found> all_frames() {
    std::vector<found> all;
    for (frame_link* l = frame_link::first; l; l = l->next) {
        auto& p = static_cast<promise_base&>(*l);
        if (!p.then) continue; // it has not begun
        void* const frame = std::coroutine_handle<promise_base>::from_promise(p).address();
        all.push_back({.what = {.frame = frame, .bytes = ::malloc_usable_size(frame), .code = code_of(frame)},
                       .promise = &p,
                       .held = {}});
    }
    std::ranges::sort(all, std::less<>(), [](const found& f) { return f.what.frame; });
    return all;
}

// The frame in which `p` points.
std::size_t containing(const std::vector<found>& all, const void* p) {
    const auto after = std::ranges::upper_bound(all, p, std::less<>(), [](const found& f) { return f.what.frame; });
    if (after == all.begin()) return none;
    const found& before = *std::prev(after);
    const auto distance =
        static_cast<std::size_t>(static_cast<const char*>(p) - static_cast<const char*>(before.what.frame));
    return distance < before.what.bytes ? static_cast<std::size_t>(&before - all.data()) : none;
}

// Who waits for a frame, or holds it. What runs beside has its place, and the branches of a race what they tell, in the
// frame of who holds them.
std::size_t holder_of(const std::vector<found>& all, std::size_t i) {
    const promise_base& p = *all[i].promise;
    std::size_t holder = p.then == &promise_base::stay ? none : containing(all, p.parent);
    if (holder == none) holder = containing(all, p.at);
    return holder == i ? none : holder;
}

void append(std::vector<stack_frame>& out, std::vector<found>& all, std::size_t i, std::size_t depth) {
    out.push_back(all[i].what);
    out.back().depth = depth;
    for (const std::size_t h : all[i].held) append(out, all, h, depth + 1);
}

} // namespace

std::vector<stack_frame> coroutine_stacks() {
    std::vector<found> all = all_frames();
    for (std::size_t i = 0; i < all.size(); ++i) {
        all[i].holder = holder_of(all, i);
        if (all[i].holder != none) all[all[i].holder].held.push_back(i);
    }
    std::vector<stack_frame> out;
    for (std::size_t i = 0; i < all.size(); ++i)
        if (all[i].holder == none) append(out, all, i, 0);
    return out;
}

} // namespace headgate
