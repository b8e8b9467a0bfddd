#include <headgate/http/list_fields.hpp>
#include <headgate/http/token.hpp>

#include <algorithm>

namespace headgate::http {

namespace {

// "0", "0.25", "1.000" in thousandths; 0 for what is none of that.
int thousandths(std::string_view text) noexcept {
    if (text.empty() || text.size() > 5 || (text.size() > 1 && text[1] != '.')) return 0;
    if (text[0] != '0' && text[0] != '1') return 0;
    int value = (text[0] - '0') * 1000;
    for (std::size_t i = 2, unit = 100; i < text.size(); ++i, unit /= 10) {
        if (!detail::is(text[i], detail::digit_byte)) return 0;
        value += (text[i] - '0') * static_cast<int>(unit);
    }
    return value <= 1000 ? value : 0;
}

} // namespace

elements::iterator& elements::iterator::operator++() noexcept {
    while (rest_.empty()) {
        const header* const found = std::find_if(next_, end_, [this](const header& h) { return h.id == id_; });
        if (found == end_) {
            element_ = {};
            return *this;
        }
        rest_ = found->value;
        next_ = found + 1;
    }
    element_ = next_element(rest_);
    return *this;
}

bool lists(const header_list& headers, field id, std::string_view token) noexcept {
    for (const std::string_view e : elements(headers, id))
        if (same_token(e, token)) return true;
    return false;
}

weighted read_weighted(std::string_view element) noexcept {
    for (std::size_t at = element.find(';'); at != std::string_view::npos; at = element.find(';', at + 1)) {
        const std::string_view parameter = detail::trim(element.substr(at + 1));
        if (parameter.size() >= 2 && detail::lower(parameter[0]) == 'q' && parameter[1] == '=')
            return {detail::trim(element.substr(0, at)),
                    thousandths(detail::trim(parameter.substr(2, parameter.find(';') - 2)))};
    }
    return {element};
}

} // namespace headgate::http
