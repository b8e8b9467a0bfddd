#pragma once

#include <headgate/tabular/columns.hpp>

#include <cstring>
#include <utility>

namespace headgate {

// One value of a row. The view is into the batch: valid as long as that, and through its moves.
struct cell {
    value_type type = value_type::null; // null, or the column's type, or (SQLite) this value's own
    std::string_view text;              // see value_type; empty if null

    bool is_null() const noexcept { return type == value_type::null; }
};

// Some rows of a result, in one buffer: what a cursor gives (`stream<row_batch>`). Move-only and as cheap to move as a
// chunk. A batch is complete in itself: it outlives its cursor and the database's connection.
//
//     for (std::size_t r = 0; r < batch.rows(); ++r)
//         for (std::size_t c = 0; c < batch.columns().size(); ++c)
//             if (const cell v = batch.at(r, c); !v.is_null()) use(batch.columns()[c].name, v.type, v.text);
//
// A cursor gives at least one batch, also for a result without rows: the first one tells the columns. The others have
// at least one row.
//
// Who writes one asks for room before each row, and gives a batch on when there is none left. It takes no more memory
// than it was made with:
//
//     row_batch batch(columns, row_batch::usual_bytes);
//     if (batch.begin_row(6)) { batch.add(value_type::integer, "42"); batch.add(value_type::text, "beta"); }
class row_batch {
public:
    // What a driver makes batches of: large enough that the cost per batch does not count.
    static constexpr std::size_t usual_bytes = chunk_large;
    // The most rows of one batch, whatever they have in them.
    static constexpr std::size_t rows_max = 16 * 1024;
    // The most memory of one batch; the constructor throws std::length_error beyond.
    static constexpr std::size_t bytes_max = std::size_t{1} << 31;

    row_batch() = default; // no columns, no rows and room for none
    // Room for rows of these columns, in `bytes` of memory: the values' text and 8 bytes for each value.
    explicit row_batch(column_set columns, std::size_t bytes = usual_bytes);

    // Rows that a database has written as CSV (db::query_options::csv): see written().
    row_batch(column_set columns, chunk csv, std::size_t rows) noexcept
        : columns_(std::move(columns)), storage_(std::move(csv)), rows_(rows),
          used_(static_cast<std::uint32_t>(storage_.size())), written_(true) {}

    row_batch(row_batch&& o) noexcept
        : columns_(std::move(o.columns_)), width_(std::exchange(o.width_, 0)), storage_(std::move(o.storage_)),
          rows_(std::exchange(o.rows_, 0)), cells_(std::exchange(o.cells_, 0)), used_(std::exchange(o.used_, 0)),
          written_(o.written_) {}
    row_batch& operator=(row_batch&& o) noexcept {
        if (this != &o) {
            columns_ = std::exchange(o.columns_, {});
            width_ = std::exchange(o.width_, 0);
            storage_ = std::move(o.storage_);
            rows_ = std::exchange(o.rows_, 0);
            cells_ = std::exchange(o.cells_, 0);
            used_ = std::exchange(o.used_, 0);
            written_ = o.written_;
        }
        return *this;
    }
    ~row_batch() = default;

    const column_set& columns() const noexcept { return columns_; }
    std::size_t rows() const noexcept { return rows_; }
    bool empty() const noexcept { return rows_ == 0; }

    // The value of a row in a column; both must be there.
    cell at(std::size_t row, std::size_t column) const noexcept {
        const std::size_t i = row * width_ + column;
        const std::size_t begin = i == 0 ? 0 : load(i - 1).end;
        const mark m = load(i);
        return {m.type, {storage_.data() + begin, m.end - begin}};
    }

    // Whether it has text instead of values: only take_text(), rows() and the columns are to be asked for then.
    // format_csv passes the text on. Nobody gets such a batch who has not asked for it.
    bool written() const noexcept { return written_; }
    chunk take_text() noexcept { return std::move(storage_); }

    // How many bytes its values have, with 8 for each value: what meters and limits count.
    std::size_t bytes() const noexcept { return used_ + cells_ * sizeof(mark); }
    // How many bytes of memory it keeps.
    std::size_t capacity() const noexcept { return storage_.capacity(); }

    // Begins a row whose values have `text_bytes` in all. Gives false, and does nothing, if there is no room: a batch
    // of bytes_for(...) has it. Then add() is to be called once for each column.
    bool begin_row(std::size_t text_bytes) noexcept {
        if (storage_.empty() || rows_ == rows_max || room() < width_ * sizeof(mark) ||
            room() - width_ * sizeof(mark) < text_bytes)
            return false;
        ++rows_;
        return true;
    }
    void add(value_type type, std::string_view text) noexcept {
        if (!text.empty()) std::memcpy(storage_.data() + used_, text.data(), text.size());
        used_ += static_cast<std::uint32_t>(text.size());
        store(cells_++, {used_, type});
    }
    void add_null() noexcept { store(cells_++, {used_, value_type::null}); }

    // How much memory one row of `columns` values takes that have `text_bytes` in all.
    static constexpr std::size_t bytes_for(std::size_t columns, std::size_t text_bytes) noexcept {
        return (columns * sizeof(mark) + text_bytes + alignof(mark) - 1) / alignof(mark) * alignof(mark);
    }

private:
    // Where a value ends (it begins where the one before it ends), and what it is. Marks lie at the end of the buffer,
    // the first one last; text lies at its beginning.
    struct mark {
        std::uint32_t end;
        value_type type;
    };

    std::size_t room() const noexcept { return storage_.size() - used_ - cells_ * sizeof(mark); }
    mark load(std::size_t i) const noexcept {
        mark m;
        std::memcpy(&m, storage_.data() + storage_.size() - (i + 1) * sizeof(mark), sizeof m);
        return m;
    }
    void store(std::size_t i, mark m) noexcept {
        std::memcpy(storage_.data() + storage_.size() - (i + 1) * sizeof(mark), &m, sizeof m);
    }

    column_set columns_;
    std::size_t width_ = 0; // columns_.size()
    chunk storage_;
    std::size_t rows_ = 0;
    std::size_t cells_ = 0;
    std::uint32_t used_ = 0; // bytes of text
    bool written_ = false;
};

// For meters and limits, see core/joint.hpp.
inline std::size_t item_bytes(const row_batch& b) noexcept { return b.bytes(); }

} // namespace headgate
