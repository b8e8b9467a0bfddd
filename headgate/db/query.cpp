#include <headgate/db/query.hpp>

#include <algorithm>
#include <optional>
#include <utility>

namespace headgate::db {

namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool begins_name(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & '\x80') != 0;
}
constexpr bool is_word(char c) noexcept { return begins_name(c) || is_digit(c) || c == '$'; }
constexpr bool is_blank(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

// What the text is made of that matters here. Everything else is copied as it stands.
enum class piece : std::uint8_t { end, blank, other, semicolon, name, position, wrong };

// Walks over SQL, one piece at a time.
class scanner {
public:
    scanner(std::string_view sql, dialect d) noexcept : sql_(sql), dialect_(d) {}

    piece next();

    std::size_t begin() const noexcept { return begin_; }                                // of the last piece
    std::string_view text() const noexcept { return sql_.substr(begin_, at_ - begin_); } // of the last piece
    std::size_t position() const noexcept { return position_; }                          // 0: the next one ("?")
    const char* problem() const noexcept { return problem_; }

private:
    bool postgres() const noexcept { return dialect_ == dialect::postgres; }
    char look(std::size_t ahead = 0) const noexcept { return at_ + ahead < sql_.size() ? sql_[at_ + ahead] : '\0'; }
    char before() const noexcept { return begin_ == 0 ? '\0' : sql_[begin_ - 1]; }
    piece fail(const char* what) noexcept {
        problem_ = what;
        return piece::wrong;
    }

    piece word();
    piece colon();
    piece dollar();
    piece question();
    piece quoted(char end, bool backslashes, const char* what);
    piece line_comment();
    piece block_comment();
    std::optional<std::size_t> number();

    std::string_view sql_;
    dialect dialect_;
    std::size_t at_ = 0;
    std::size_t begin_ = 0;
    std::size_t position_ = 0;
    std::size_t brackets_ = 0; // how many are open
    const char* problem_ = nullptr;
};

piece scanner::next() {
    begin_ = at_;
    if (at_ == sql_.size()) return piece::end;
    const char c = sql_[at_];
    if (begins_name(c)) return word();
    switch (c) {
    case '\0': return fail("a zero byte");
    case '\'': return quoted('\'', false, "unterminated string");
    case '"': return quoted('"', false, "unterminated quoted name");
    case ':': return colon();
    case '$': return dollar();
    case '?': return question();
    case '-':
        if (look(1) == '-') return line_comment();
        break;
    case '/':
        if (look(1) == '*') return block_comment();
        break;
    case ';': return ++at_, piece::semicolon;
    case '`':
        if (!postgres()) return quoted('`', false, "unterminated quoted name");
        break;
    case '@':
        if (!postgres() && begins_name(look(1))) return fail("a parameter is written :name");
        break;
    case '[':
        if (!postgres()) return quoted(']', false, "unterminated quoted name");
        ++brackets_;
        break;
    case ']': brackets_ -= brackets_ != 0; break;
    default: break;
    }
    ++at_;
    return is_blank(c) ? piece::blank : piece::other;
}

// A word, or a string that begins with letters. Digits do not begin one but are part of it.
piece scanner::word() {
    while (is_word(look())) ++at_;
    const bool escapes = postgres() && look() == '\'' && (text() == "e" || text() == "E");
    return escapes ? quoted('\'', true, "unterminated string") : piece::other;
}

piece scanner::colon() {
    ++at_;
    if (look() == ':') return ++at_, piece::other; // a cast
    if (!begins_name(look()) || is_word(before()) || before() == ':') return piece::other;
    if (brackets_ != 0 && (before() == ')' || before() == ']' || before() == '"')) return piece::other;
    while (begins_name(look()) || is_digit(look())) ++at_;
    return piece::name;
}

// In PostgreSQL a parameter ($1) or a string ($$...$$, $tag$...$tag$).
piece scanner::dollar() {
    ++at_;
    if (is_word(before())) return piece::other; // behind a number
    if (!postgres()) return begins_name(look()) ? fail("a parameter is written :name") : piece::other;
    if (is_digit(look())) {
        const auto n = number();
        if (!n || *n == 0) return fail("there is no such parameter");
        position_ = *n;
        return piece::position;
    }
    std::size_t end = at_;
    while (end < sql_.size() && sql_[end] != '$' && is_word(sql_[end])) ++end;
    if (end == sql_.size() || sql_[end] != '$') return piece::other;
    const std::string_view tag = sql_.substr(begin_, end + 1 - begin_);
    const std::size_t close = sql_.find(tag, end + 1);
    if (close == std::string_view::npos) return fail("unterminated string");
    at_ = close + tag.size();
    return piece::other;
}

// In SQLite a parameter (? or ?1), in PostgreSQL an operator.
piece scanner::question() {
    ++at_;
    if (postgres()) return piece::other;
    position_ = 0;
    if (is_digit(look())) {
        const auto n = number();
        if (!n || *n == 0) return fail("there is no such parameter");
        position_ = *n;
    }
    return piece::position;
}

// A doubled end stands for itself, except of SQLite's brackets.
piece scanner::quoted(char end, bool backslashes, const char* what) {
    for (++at_; at_ < sql_.size(); ++at_) {
        if (sql_[at_] == '\0') return fail("a zero byte");
        if (backslashes && sql_[at_] == '\\') {
            ++at_;
        } else if (sql_[at_] == end) {
            if (end == ']' || look(1) != end) return ++at_, piece::other;
            ++at_;
        }
    }
    at_ = sql_.size();
    return fail(what);
}

piece scanner::line_comment() {
    at_ = std::min(sql_.find('\n', at_), sql_.size());
    return piece::blank;
}

// They nest in PostgreSQL. SQLite takes one that is not closed, but nobody means it.
piece scanner::block_comment() {
    std::size_t open = 1;
    for (at_ += 2; open != 0; ++at_) {
        if (at_ + 1 >= sql_.size()) return at_ = sql_.size(), fail("unterminated comment");
        if (sql_[at_] == '*' && look(1) == '/') {
            --open;
            ++at_;
        } else if (postgres() && sql_[at_] == '/' && look(1) == '*') {
            ++open;
            ++at_;
        }
    }
    return piece::blank;
}

std::optional<std::size_t> scanner::number() {
    std::size_t n = 0;
    while (is_digit(look())) {
        n = n * 10 + static_cast<std::size_t>(sql_[at_++] - '0');
        if (n > query::parameters_max) return std::nullopt;
    }
    return n;
}

std::unexpected<query_error> refuse(std::string why, std::size_t offset = 0) {
    return std::unexpected(query_error{std::move(why), offset});
}

} // namespace

std::expected<query, query_error> query::parse(std::string sql, dialect d) {
    if (sql.size() > bytes_max) return refuse("longer than 1 MiB");
    query q;
    scanner s(sql, d);
    std::size_t copied = 0;
    std::size_t end = sql.size();
    bool ended = false;
    bool any = false;
    for (piece p = s.next(); p != piece::end; p = s.next()) {
        if (p == piece::wrong) return refuse(s.problem(), s.begin());
        if (p == piece::blank) continue;
        if (p == piece::semicolon) {
            if (!std::exchange(ended, true)) end = s.begin();
            continue;
        }
        if (ended) return refuse("more than one statement", s.begin());
        any = true;
        if (p == piece::position) q.positions_ = std::max(q.positions_, s.position() ? s.position() : q.positions_ + 1);
        if (p == piece::name) {
            const std::string_view name = s.text().substr(1);
            const auto known = std::ranges::find(q.names_, name);
            const auto n = static_cast<std::size_t>(known - q.names_.begin());
            if (known == q.names_.end()) q.names_.emplace_back(name);
            q.numbered_.append(sql, copied, s.begin() - copied).append("$").append(std::to_string(n + 1));
            copied = s.begin() + s.text().size();
        }
        if (q.positions_ != 0 && !q.names_.empty())
            return refuse("parameters with names and with numbers in one query", s.begin());
        if (q.parameters() > parameters_max) return refuse("more than 1000 parameters", s.begin());
    }
    if (!any) return refuse("no statement");
    q.numbered_.append(sql, copied, end - copied);
    sql.resize(end);
    q.sql_ = std::move(sql);
    return q;
}

std::expected<std::vector<parameter>, query_error> query::bind(std::vector<parameter> values) const {
    std::vector<parameter> bound(names_.size());
    std::vector<bool> given(names_.size());
    for (parameter& v : values) {
        if (v.type != value_type::null && v.text.contains('\0')) return refuse("a zero byte in parameter " + v.name);
        if (v.name.empty()) {
            bound.push_back(std::move(v));
            continue;
        }
        const auto n = static_cast<std::size_t>(std::ranges::find(names_, v.name) - names_.begin());
        if (n == names_.size()) return refuse("the query has no parameter " + v.name);
        if (given[n]) return refuse("two values for parameter " + v.name);
        given[n] = true;
        bound[n] = std::move(v);
    }
    if (const auto missing = std::ranges::find(given, false); missing != given.end())
        return refuse("no value for parameter " + names_[static_cast<std::size_t>(missing - given.begin())]);
    if (bound.size() != parameters())
        return refuse("the query takes " + std::to_string(parameters()) + " values, not " +
                      std::to_string(bound.size()));
    return bound;
}

} // namespace headgate::db
