#include <headgate/http/token.hpp>

#include <algorithm>

#include <gateway/head_parts.hpp>

namespace headgate::gateway {

bool edited(const header_edits* edits, std::string_view name) {
    if (!edits) return false;
    const auto same = [name](const std::string& other) { return http::same_token(name, other); };
    return std::ranges::any_of(edits->remove, same) ||
           std::ranges::any_of(edits->set, same, [](const auto& f) -> auto& { return f.first; });
}

void add_edits(http::head_writer& w, const header_edits* edits, const header_edits* after) {
    if (!edits) return;
    for (const auto* list : {&edits->set, &edits->add})
        for (const auto& [name, value] : *list)
            if (!edited(after, name)) w.add(name, value);
}

std::size_t bytes_of(const header_edits* edits) {
    std::size_t n = 0;
    if (edits)
        for (const auto* list : {&edits->set, &edits->add})
            for (const auto& [name, value] : *list) n += name.size() + value.size() + 4;
    return n;
}

void add_persistence(http::head_writer& w, bool persistent, int client_minor) {
    if (!persistent)
        w.add(http::field::connection, "close");
    else if (client_minor == 0)
        w.add(http::field::connection, "keep-alive");
}

} // namespace headgate::gateway
