#include <headgate/tabular/row_batch.hpp>

#include <stdexcept>

namespace headgate {

row_batch::row_batch(column_set columns, std::size_t bytes) : columns_(std::move(columns)), width_(columns_.size()) {
    if (bytes > bytes_max) throw std::length_error("a batch of rows that is too large");
    storage_ = chunk(bytes / alignof(mark) * alignof(mark));
}

} // namespace headgate
