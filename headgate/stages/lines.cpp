#include <headgate/stages/lines.hpp>

#include <cstdint>
#include <string>

namespace headgate {

namespace {

chunk without_return(chunk line) noexcept {
    if (line.text().ends_with('\r')) line.truncate(line.size() - 1);
    return line;
}

fail too_long(std::size_t max, std::uint64_t begin) {
    return fail(errc::limit_exceeded,
                "a line of more than " + std::to_string(max) + " bytes begins at byte " + std::to_string(begin));
}

stream<chunk> split(stream<chunk> in, std::size_t max) {
    place& at = co_await here();
    std::string begun;       // the part of a line that came in chunks before
    std::uint64_t begin = 0; // where the line begins that is looked for
    while (std::optional<chunk> item = co_await in.next()) {
        for (;;) {
            const std::size_t end = item->text().find('\n');
            const bool whole = end != std::string_view::npos;
            const std::size_t part = whole ? end : item->size();
            if (begun.size() + part > max) co_await too_long(max, begin);
            if (!whole) break;
            begin += begun.size() + part + 1;
            chunk line = item->slice(0, part);
            if (!begun.empty()) {
                begun += line.text();
                line = chunk(begun);
                begun = {};
                hold(at, 0, max);
            }
            item->remove_prefix(part + 1);
            co_yield without_return(std::move(line));
        }
        begun += item->text();
        hold(at, begun.size(), max);
    }
    if (!begun.empty()) co_yield chunk(begun);
}

} // namespace

stream<chunk> lines::operator()(stream<chunk> in) const { return split(std::move(in), max_); }

} // namespace headgate
