#include <algorithm>
#include <optional>

#include <fuzz/strict.hpp>

namespace headgate::fuzz::strict {

namespace {

// The gateway's own limits. What is beyond them is not wrong, but it is not let through either.
constexpr std::size_t fields_max = 100;
constexpr std::size_t trailers_max = 32;
constexpr std::size_t connection_options_max = 32;
constexpr std::size_t chunk_line_max = 1024; // with its CR

bool digits(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

bool token(std::string_view text) {
    constexpr std::string_view tchar = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    return !text.empty() && lowered(text).find_first_not_of(tchar) == std::string::npos;
}

std::string_view trim(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Whether nobody can take a part of a chunk extension for its end: quotes are closed, and there is nothing odd outside.
bool harmless_extension(std::string_view text) {
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (quoted && text[i] == '\\')
            ++i;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && !token(text.substr(i, 1)) && std::string_view(";= \t").find(text[i]) == std::string::npos)
            return false;
    }
    return !quoted;
}

struct reader {
    std::string_view text;
    std::size_t at;
    message out{};

    bool wrong(std::string why) {
        out.how = state::malformed;
        out.why = std::move(why);
        return false;
    }

    // The next line; none if it is not complete, or malformed.
    std::optional<std::string_view> line() {
        const std::size_t end = text.find("\r\n", at);
        const std::string_view found = text.substr(at, end == std::string_view::npos ? end : end - at);
        for (std::size_t i = 0; i < found.size(); ++i) {
            const auto c = static_cast<unsigned char>(found[i]);
            const bool cr_at_the_end = c == '\r' && at + i + 1 == text.size();
            if ((c < 32 && c != '\t' && !cr_at_the_end) || c == 127) return wrong("a control"), std::nullopt;
        }
        if (end == std::string_view::npos) return std::nullopt;
        at = end + 2;
        return found;
    }

    // Gives whether the empty line at the end was read.
    bool read_fields(std::vector<std::pair<std::string, std::string>>& to, std::size_t most) {
        for (;;) {
            const auto l = line();
            if (!l) return false;
            if (l->empty()) return true;
            const std::size_t colon = l->find(':');
            if (colon == std::string_view::npos || !token(l->substr(0, colon))) return wrong("a field name");
            if (to.size() == most) return wrong("too many fields");
            to.emplace_back(l->substr(0, colon), trim(l->substr(colon + 1)));
        }
    }

    bool read_version(std::string_view v) {
        if (v.size() != 8 || !v.starts_with("HTTP/1.") || v[7] < '0' || v[7] > '9') return wrong("the version");
        out.minor_version = v[7] == '0' ? 0 : 1;
        return true;
    }

    bool check_connection() {
        std::size_t options = 0;
        for (const std::string& list : out.all("connection")) {
            for (std::size_t begin = 0; begin < list.size();) {
                const std::size_t comma = std::min(list.find(',', begin), list.size());
                const std::string_view option = trim(std::string_view(list).substr(begin, comma - begin));
                if (++options > connection_options_max) return wrong("too many connection options");
                if (!option.empty() && !token(option)) return wrong("a connection option");
                begin = comma + 1;
            }
        }
        return true;
    }

    // Reads the body by its framing. `close`: without any, it ends with the connection.
    bool read_body(bool bodiless, bool close, bool ended) {
        const auto lengths = out.all("content-length");
        const auto codings = out.all("transfer-encoding");
        if (lengths.size() + codings.size() > 1) return wrong("two ways of framing");
        if (!lengths.empty() && (!digits(lengths[0]) || length_of(lengths[0]) > INT64_MAX)) return wrong("the length");
        if (!codings.empty() && (lowered(codings[0]) != "chunked" || out.minor_version == 0))
            return wrong("the transfer coding");
        if (bodiless) return true;
        if (!codings.empty()) return read_chunks();
        if (lengths.empty() && !close) return true;
        const std::uint64_t length = lengths.empty() ? UINT64_MAX : length_of(lengths[0]);
        out.until_close = lengths.empty();
        out.body = text.substr(at, static_cast<std::size_t>(std::min<std::uint64_t>(length, text.size() - at)));
        at += out.body.size();
        return out.until_close ? ended : out.body.size() == length;
    }
    static std::uint64_t length_of(std::string_view text_of_it) {
        std::uint64_t n = 0;
        for (const char c : text_of_it)
            n = n > UINT64_MAX / 10 - 1 ? UINT64_MAX : n * 10 + static_cast<unsigned>(c - '0');
        return n;
    }

    bool read_chunks() {
        for (;;) {
            const auto l = line();
            if (!l) return false;
            const std::size_t count = std::min(l->find_first_not_of("0123456789abcdefABCDEF"), l->size());
            const std::string_view rest = trim(l->substr(count));
            if (count == 0 || count > 16 || (count != l->size() && !rest.starts_with(';')))
                return wrong("a chunk size");
            if (!harmless_extension(rest) || l->size() >= chunk_line_max) return wrong("a chunk extension");
            const std::uint64_t size = std::stoull(std::string(l->substr(0, count)), nullptr, 16);
            if (size == 0) return read_fields(out.trailers, trailers_max);
            const std::size_t there = static_cast<std::size_t>(std::min<std::uint64_t>(size, text.size() - at));
            out.body += text.substr(at, there);
            at += there;
            const std::string_view crlf = text.substr(at, 2);
            if (there != size || crlf.empty() || crlf == "\r") return false;
            if (crlf != "\r\n") return wrong("the end of a chunk");
            at += 2;
        }
    }

    message done(bool whole) {
        if (out.how != state::malformed && whole) {
            out.how = state::whole;
            out.end = at;
        }
        return std::move(out);
    }
};

} // namespace

std::string lowered(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::vector<std::string> message::all(std::string_view name) const {
    std::vector<std::string> values;
    for (const auto& [n, v] : fields)
        if (lowered(n) == name) values.push_back(v);
    return values;
}

message read_request(std::string_view text, std::size_t at) {
    reader r{text, at};
    if (text.substr(at, 2) == "\r\n") r.at += 2;
    const auto l = r.line();
    if (!l) return r.done(false);
    const std::size_t first = l->find(' ');
    const std::size_t last = l->rfind(' ');
    r.out.method = l->substr(0, first);
    if (first == std::string_view::npos || last == first) return r.wrong("the request line"), r.done(false);
    r.out.target = l->substr(first + 1, last - first - 1);
    if (!token(r.out.method) || r.out.target.empty() || r.out.target.find_first_of(" \t") != std::string::npos)
        return r.wrong("the request line"), r.done(false);
    if (!r.read_version(l->substr(last + 1)) || !r.read_fields(r.out.fields, fields_max)) return r.done(false);
    r.out.head_whole = true;
    if (!r.check_connection()) return r.done(false);
    return r.done(r.read_body(false, false, false));
}

message read_response(std::string_view text, std::size_t at, std::string_view method, bool ended) {
    reader r{text, at};
    const auto l = r.line();
    if (!l) return r.done(false);
    const std::string_view code = l->substr(std::min<std::size_t>(l->size(), 9), 3);
    if (l->size() < 12 || (*l)[8] != ' ' || !digits(code) || (l->size() > 12 && (*l)[12] != ' '))
        return r.wrong("the status line"), r.done(false);
    r.out.status = std::stoi(std::string(code));
    if (l->size() > 13) r.out.reason = l->substr(13);
    if (r.out.status < 100 || r.out.status > 599) return r.wrong("the status"), r.done(false);
    if (!r.read_version(l->substr(0, 8)) || !r.read_fields(r.out.fields, fields_max)) return r.done(false);
    r.out.head_whole = true;
    if (!r.check_connection()) return r.done(false);
    const int status = r.out.status;
    const bool bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
    return r.done(r.read_body(bodiless, true, ended));
}

} // namespace headgate::fuzz::strict
