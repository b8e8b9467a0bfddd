#include <headgate/tabular/columns.hpp>

#include <cstring>
#include <memory>
#include <type_traits>

namespace headgate {

static_assert(std::is_trivially_destructible_v<column> && alignof(column) <= 16, "it lives in a chunk");

column_set::column_set(std::span<const column> columns) : count_(columns.size()) {
    std::size_t bytes = columns.size_bytes();
    for (const column& c : columns) bytes += c.name.size();
    storage_ = chunk(bytes);

    char* name = storage_.data() + columns.size_bytes();
    auto* to = reinterpret_cast<column*>(storage_.data());
    for (const column& c : columns) {
        c.name.copy(name, c.name.size());
        column* const made = std::construct_at(to++, c);
        made->name = {name, c.name.size()};
        name += c.name.size();
    }
}

} // namespace headgate
