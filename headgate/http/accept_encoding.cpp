#include <headgate/http/accept_encoding.hpp>
#include <headgate/http/list_fields.hpp>
#include <headgate/http/token.hpp>

namespace headgate::http {

namespace {

bool same_coding(std::string_view asked, std::string_view coding) {
    return same_token(asked, coding) || (coding == "gzip" && same_token(asked, "x-gzip"));
}

struct said {
    std::optional<int> itself;
    std::optional<int> any; // of "*"
};

said look_up(const header_list& rq, std::string_view coding) {
    said s;
    for (const std::string_view element : elements(rq, field::accept_encoding)) {
        const auto [name, weight] = read_weighted(element);
        if (name == "*")
            s.any = weight;
        else if (same_coding(name, coding))
            s.itself = weight;
    }
    return s;
}

} // namespace

int coding_weight(const header_list& rq, std::string_view coding) {
    const said s = look_up(rq, coding);
    return s.itself.value_or(s.any.value_or(0));
}

std::optional<std::size_t> choose_coding(const header_list& rq, std::span<const std::string_view> codings) {
    if (!rq.contains(field::accept_encoding)) return std::nullopt;
    std::optional<std::size_t> best;
    int most = look_up(rq, "identity").itself.value_or(0);
    for (std::size_t i = 0; i < codings.size(); ++i) {
        const int w = coding_weight(rq, codings[i]);
        if (w == 0 || w < most || (w == most && best)) continue;
        most = w;
        best = i;
    }
    return best;
}

} // namespace headgate::http
