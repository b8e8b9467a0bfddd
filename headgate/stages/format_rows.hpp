#pragma once

#include <headgate/core/stream.hpp>
#include <headgate/stages/text_output.hpp>
#include <headgate/tabular/row_batch.hpp>

#include <memory>

// What the stages that write rows as text share.
namespace headgate::detail {

// The most bytes of a value that one step takes: written as JSON, they are six times as long at the worst.
inline constexpr std::size_t format_step = 8 * 1024;

// What writes a format. Each call that gives bool is one step (text_output) and says whether that was all; if not,
// more() goes on.
template <class W>
concept row_writer = requires(W& w, const column_set& columns, std::size_t column, cell value) {
    { w.out } -> std::convertible_to<text_output&>;
    w.begin(columns); // remembers the columns, writes nothing
    { w.has_header() } -> std::same_as<bool>;
    { w.header(column) } -> std::same_as<bool>;
    w.begin_row();
    { w.value(column, value) } -> std::same_as<bool>;
    { w.more() } -> std::same_as<bool>;
    w.end_row();
    w.end(); // of the result, also of one without rows
};

// A batch that is emptier than this came alone: what it gave is passed on at once.
inline bool came_slowly(const row_batch& b) noexcept { return b.bytes() < b.capacity() / 4; }

template <row_writer Writer, class Options>
stream<chunk> format_rows(stream<row_batch> in, Options options) {
    place& at = co_await here();
    const auto writer = std::make_unique<Writer>(options);
    Writer& w = *writer;
    bool begun = false;
    while (std::optional<row_batch> batch = co_await in.next()) {
        if (batch->written()) {
            if (chunk text = batch->take_text(); !text.empty()) co_yield std::move(text);
            continue;
        }
        const std::size_t width = batch->columns().size();
        if (!std::exchange(begun, true)) {
            w.begin(batch->columns());
            for (std::size_t c = 0; w.has_header() && c < width; ++c)
                for (bool whole = w.header(c);; whole = w.more()) {
                    if (w.out.full()) co_yield w.out.take_full();
                    if (whole) break;
                }
            if (w.has_header()) w.end_row();
        }
        hold(at, w.out.memory() + batch->capacity());
        for (std::size_t r = 0; r < batch->rows(); ++r) {
            w.begin_row();
            for (std::size_t c = 0; c < width; ++c)
                for (bool whole = w.value(c, batch->at(r, c));; whole = w.more()) {
                    if (w.out.full()) co_yield w.out.take_full();
                    if (whole) break;
                }
            w.end_row();
            if (w.out.full()) co_yield w.out.take_full();
        }
        if (came_slowly(*batch) && w.out.begun()) co_yield w.out.take_begun();
    }
    w.end();
    if (w.out.full()) co_yield w.out.take_full();
    if (w.out.begun()) co_yield w.out.take_begun();
}

} // namespace headgate::detail
