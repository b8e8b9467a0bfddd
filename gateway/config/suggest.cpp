#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include <gateway/config/suggest.hpp>

namespace headgate::gateway {

namespace {

constexpr std::size_t word_max = 64; // longer words are nobody's slip
constexpr std::size_t compared_max = 1000;
constexpr std::size_t listed_max = 24; // known words that are listed

// How many letters must be put in, taken out, changed, or exchanged with their neighbour (optimal string alignment).
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> above(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = std::min(row[j], before[j - 2] + 1);
        }
        std::swap(before, above);
        std::swap(above, row);
    }
    return above[b.size()];
}

// In the spelling that people mix up: case, and '-' for '_'.
std::string folded(std::string_view word) {
    std::string out(word);
    for (char& c : out) c = c == '-' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    return out;
}

std::string listed(std::span<const std::string_view> known) {
    if (known.empty()) return "there is none";
    std::string out = known.size() == 1 ? "there is" : "there are";
    const std::size_t shown = std::min(known.size(), listed_max);
    for (std::size_t i = 0; i < shown; ++i) {
        if (i != 0) out += i + 1 == known.size() ? " and" : ",";
        ((out += " '") += known[i]) += "'";
    }
    if (shown < known.size()) out += " and " + std::to_string(known.size() - shown) + " more";
    return out;
}

} // namespace

std::string suggest(std::string_view word, std::span<const std::string_view> known) {
    std::string_view best;
    std::size_t least = std::numeric_limits<std::size_t>::max();
    const std::string meant = folded(word.substr(0, word_max));
    for (const std::string_view k : known.first(std::min(known.size(), compared_max))) {
        if (k.size() > word_max) continue;
        const std::size_t d = distance(meant, folded(k));
        if (d < least) {
            least = d;
            best = k;
        }
    }
    const std::size_t close = std::max<std::size_t>(1, std::min(meant.size(), best.size()) / 3);
    if (least <= close && least < meant.size() && word.size() <= word_max)
        return "did you mean '" + std::string(best) + "'?";
    return listed(known);
}

} // namespace headgate::gateway
