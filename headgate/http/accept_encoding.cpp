#include <headgate/http/accept_encoding.hpp>
#include <headgate/http/token.hpp>

namespace headgate::http {

namespace {

// "0", "0.25", "1.000" in thousandths (RFC 9110, section 12.4.2); 0 for what is none of that.
int weight(std::string_view text) {
    if (text.empty() || text.size() > 5 || (text.size() > 1 && text[1] != '.')) return 0;
    if (text[0] != '0' && text[0] != '1') return 0;
    int value = (text[0] - '0') * 1000;
    for (std::size_t i = 2, unit = 100; i < text.size(); ++i, unit /= 10) {
        if (!detail::is(text[i], detail::digit_byte)) return 0;
        value += (text[i] - '0') * static_cast<int>(unit);
    }
    return value <= 1000 ? value : 0;
}

// One element of the list: "gzip;q=0.5".
struct element {
    std::string_view name;
    int weight = 1000;

    explicit element(std::string_view text) {
        const std::size_t semicolon = std::min(text.find(';'), text.size());
        name = detail::trim(text.substr(0, semicolon));
        if (semicolon == text.size()) return;
        const std::string_view parameter = detail::trim(text.substr(semicolon + 1));
        const bool q = parameter.size() >= 2 && detail::lower(parameter[0]) == 'q' && parameter[1] == '=';
        weight = q ? http::weight(parameter.substr(2)) : 0;
    }
};

bool same_coding(std::string_view asked, std::string_view coding) {
    return same_token(asked, coding) || (coding == "gzip" && same_token(asked, "x-gzip"));
}

struct said {
    std::optional<int> itself;
    std::optional<int> any; // of "*"
};

said look_up(const header_list& rq, std::string_view coding) {
    said s;
    if (!rq.contains(field::accept_encoding)) return s;
    for (const header& h : rq) {
        if (h.id != field::accept_encoding) continue;
        for (std::string_view list = h.value; !list.empty();) {
            const element e(next_element(list));
            if (e.name == "*")
                s.any = e.weight;
            else if (same_coding(e.name, coding))
                s.itself = e.weight;
        }
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
