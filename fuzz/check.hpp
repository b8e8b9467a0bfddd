#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

/// What the fuzz targets assert with: says what does not hold and stops, so that libFuzzer keeps the input.
namespace headgate::fuzz {

inline void check(bool holds, std::string_view what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %.*s\n", static_cast<int>(what.size()), what.data());
    std::abort();
}

inline void check_equal(std::string_view a, std::string_view b, std::string_view what) {
    if (a == b) return;
    std::fprintf(stderr, "does not hold: %.*s\n--- one\n%.*s\n--- other\n%.*s\n", static_cast<int>(what.size()),
                 what.data(), static_cast<int>(a.size()), a.data(), static_cast<int>(b.size()), b.data());
    std::abort();
}

inline bool inside(std::string_view view, std::string_view whole) {
    return view.empty() || (view.data() >= whole.data() && view.data() + view.size() <= whole.data() + whole.size());
}

} // namespace headgate::fuzz
