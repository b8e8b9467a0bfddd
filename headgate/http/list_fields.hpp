#pragma once

#include <headgate/http/message.hpp>

#include <cstddef>
#include <iterator>
#include <string_view>

// Fields whose values are lists (RFC 9110, section 5.6.1).
namespace headgate::http {

// The elements of all fields of one name, in order, as one list; some may be empty. Views into the head:
//
//     for (const std::string_view e : elements(head.headers, field::te)) ...
class elements {
public:
    elements(const header_list& from, field id) noexcept : from_(from), id_(id) {}

    class iterator {
    public:
        using value_type = std::string_view;
        using difference_type = std::ptrdiff_t;

        std::string_view operator*() const noexcept { return element_; }
        iterator& operator++() noexcept;
        void operator++(int) noexcept { ++*this; }
        bool operator==(std::default_sentinel_t) const noexcept { return !element_.data(); }

    private:
        friend elements;
        iterator(const header* next, const header* end, field id) noexcept : next_(next), end_(end), id_(id) {
            ++*this;
        }

        const header* next_;
        const header* end_;
        field id_;
        std::string_view rest_{};    // of the field before `next_`
        std::string_view element_{}; // without data: the end
    };
    // Looks at no field if there is none of that name.
    iterator begin() const noexcept { return {from_.contains(id_) ? from_.begin() : from_.end(), from_.end(), id_}; }
    static std::default_sentinel_t end() noexcept { return {}; }

private:
    const header_list& from_;
    field id_;
};

// Whether one of them is this token, whatever its case.
bool lists(const header_list& headers, field id, std::string_view token) noexcept;

// An element that may have a weight (RFC 9110, section 12.4.2): "gzip;q=0.5". The weight is in thousandths: 1000 if the
// element has none, 0 if it is malformed. The name is all that stands before it: other parameters, too.
struct weighted {
    std::string_view name;
    int weight = 1000;
};
weighted read_weighted(std::string_view element) noexcept;

} // namespace headgate::http
