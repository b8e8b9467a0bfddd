#pragma once

#include <headgate/io/address.hpp>

#include <algorithm>
#include <charconv>
#include <concepts>
#include <optional>
#include <type_traits>

#include <gateway/config/field.hpp>
#include <gateway/units.hpp>

// Makes the rows of the tables in tables/: time<&upstream_options::connect_timeout>("connect_timeout", "..."). A member
// inside a member is given by its path: size<&http_options::heads, &http::head_limits::head_bytes_max>(...).
namespace headgate::gateway::rows {

inline constexpr std::int64_t kib = 1024;
inline constexpr std::int64_t mib = 1024 * kib;
inline constexpr std::int64_t tib = 1024 * 1024 * mib;
inline constexpr std::int64_t many = 10'000'000;
inline constexpr std::string_view tls_versions[] = {"1.2", "1.3"};

namespace detail {

template <class Class, class Member>
Class class_of(Member Class::*);

template <auto First, auto...>
struct first {
    using object = decltype(class_of(First));
};
template <auto... Path>
using object_of = first<Path...>::object;

template <auto First, auto... Rest>
constexpr auto& walk(auto& object) {
    if constexpr (sizeof...(Rest) == 0)
        return object.*First;
    else
        return walk<Rest...>(object.*First);
}

template <class T>
struct optional_value : std::false_type {};
template <class T>
struct optional_value<std::optional<T>> : std::true_type {};

// The decoder has checked that the value is right.
template <class T>
void assign(T& member, config_scalar value) {
    if constexpr (optional_value<T>::value) {
        assign(member.emplace(), std::move(value));
    } else if constexpr (std::same_as<T, address>) {
        member = address::parse(std::get<std::string>(value)).value_or(address());
    } else if constexpr (std::same_as<T, status_range>) {
        member = parse_status_range(std::get<std::string>(value)).value_or(status_range());
    } else if constexpr (std::same_as<T, ratio>) {
        member = parse_ratio(std::get<std::string>(value)).value_or(ratio());
    } else if constexpr (std::same_as<T, retry_conditions>) {
        member = {};
        for (const std::string& each : std::get<std::vector<std::string>>(value)) add_retry_condition(member, each);
    } else if constexpr (std::same_as<T, endpoint>) {
        member = parse_endpoint(std::get<std::string>(value)).value_or(endpoint());
    } else if constexpr (std::integral<T> && !std::same_as<T, bool>) {
        if (const auto* text = std::get_if<std::string>(&value)) // of a choice
            std::from_chars(text->data(), text->data() + text->size(), member);
        else if (const auto n = std::get<std::int64_t>(value); n == config_unlimited)
            member = std::numeric_limits<T>::max();
        else
            member = static_cast<T>(n);
    } else {
        member = std::get<T>(std::move(value));
    }
}

template <class T>
config_scalar value_of(const T& member) {
    if constexpr (optional_value<T>::value) {
        return member ? value_of(*member) : config_scalar();
    } else if constexpr (std::same_as<T, address> || std::same_as<T, endpoint> || std::same_as<T, status_range> ||
                         std::same_as<T, ratio>) {
        return member.text();
    } else if constexpr (std::same_as<T, retry_conditions>) {
        return format_retry_conditions(member);
    } else if constexpr (std::integral<T> && !std::same_as<T, bool>) {
        if (member == std::numeric_limits<T>::max()) return config_unlimited;
        return static_cast<std::int64_t>(member);
    } else {
        return member;
    }
}

template <auto... Path>
constexpr config_field scalar(std::string_view key, config_kind kind, std::string_view doc) {
    using object = object_of<Path...>;
    return {.key = key,
            .kind = kind,
            .doc = doc,
            .store = [](void* o, config_scalar v) { assign(walk<Path...>(*static_cast<object*>(o)), std::move(v)); },
            .load = [](const void* o) { return value_of(walk<Path...>(*static_cast<const object*>(o))); }};
}

} // namespace detail

template <auto... Path>
constexpr config_field time(std::string_view key, std::string_view doc) {
    return detail::scalar<Path...>(key, config_kind::time, doc);
}

template <auto... Path>
constexpr config_field size(std::string_view key, std::int64_t least, std::int64_t most, std::string_view doc) {
    config_field f = detail::scalar<Path...>(key, config_kind::size, doc);
    f.least = least;
    f.most = most;
    return f;
}

template <auto... Path>
constexpr config_field count(std::string_view key, std::int64_t least, std::int64_t most, std::string_view doc) {
    config_field f = detail::scalar<Path...>(key, config_kind::count, doc);
    f.least = least;
    f.most = most;
    return f;
}

template <auto... Path>
constexpr config_field flag(std::string_view key, std::string_view doc) {
    return detail::scalar<Path...>(key, config_kind::flag, doc);
}

template <auto... Path>
constexpr config_field choice(std::string_view key, std::span<const std::string_view> choices, std::string_view doc) {
    config_field f = detail::scalar<Path...>(key, config_kind::choice, doc);
    f.choices = choices;
    return f;
}

template <auto... Path>
constexpr config_field text(std::string_view key, const text_format& format, std::string_view doc) {
    config_field f = detail::scalar<Path...>(key, config_kind::text, doc);
    f.format = &format;
    return f;
}

template <auto... Path>
constexpr config_field texts(std::string_view key, const text_format& format, std::string_view doc) {
    config_field f = detail::scalar<Path...>(key, config_kind::texts, doc);
    f.format = &format;
    return f;
}

template <auto... Path>
constexpr config_field headers(std::string_view key, std::string_view doc) {
    config_field f = detail::scalar<Path...>(key, config_kind::headers, doc);
    f.format = &formats::edited_header;
    return f;
}

// A member that is a struct with a table of its own.
template <auto... Path>
constexpr config_field section(std::string_view key, const config_table& table, std::string_view doc) {
    using object = detail::object_of<Path...>;
    return {
        .key = key,
        .kind = config_kind::section,
        .doc = doc,
        .table = &table,
        .open = [](void* o, const config_defaults&, std::string_view) -> void* {
            return &detail::walk<Path...>(*static_cast<object*>(o));
        },
        .peek = [](const void* o) -> const void* { return &detail::walk<Path...>(*static_cast<const object*>(o)); }};
}

// The same, with its keys among those of this table.
template <auto... Path>
constexpr config_field flat(const config_table& table) {
    config_field f = section<Path...>("", table, "");
    f.kind = config_kind::flat;
    return f;
}

// The keys of another table about the same struct.
constexpr config_field also(const config_table& table) {
    return {.kind = config_kind::flat,
            .table = &table,
            .open = [](void* o, const config_defaults&, std::string_view) { return o; },
            .peek = [](const void* o) { return o; }};
}

// An enumeration as a text: its values are the places of the texts.
template <const auto& Texts, auto... Path>
constexpr config_field one_of(std::string_view key, std::string_view doc) {
    using object = detail::object_of<Path...>;
    return {.key = key,
            .kind = config_kind::choice,
            .doc = doc,
            .choices = Texts,
            .store =
                [](void* o, config_scalar v) {
                    auto& member = detail::walk<Path...>(*static_cast<object*>(o));
                    const auto at = std::ranges::find(Texts, std::get<std::string>(v));
                    member = static_cast<std::remove_reference_t<decltype(member)>>(at - std::ranges::begin(Texts));
                },
            .load = [](const void* o) -> config_scalar {
                return std::string(
                    Texts[static_cast<std::size_t>(detail::walk<Path...>(*static_cast<const object*>(o)))]);
            }};
}

// A vector of structs. `Begin` makes one from the defaults and, if it has one, its name.
template <auto Begin, auto... Path>
constexpr config_field sections(std::string_view key, const config_table& table, std::string_view doc) {
    using object = detail::object_of<Path...>;
    return {.key = key,
            .kind = config_kind::sections,
            .doc = doc,
            .table = &table,
            .open = [](void* o, const config_defaults& from, std::string_view name) -> void* {
                return &detail::walk<Path...>(*static_cast<object*>(o)).emplace_back(Begin(from, name));
            }};
}

template <auto Begin, auto... Path>
constexpr config_field named(std::string_view key, const config_table& table, std::string_view doc) {
    config_field f = sections<Begin, Path...>(key, table, doc);
    f.kind = config_kind::named;
    f.format = &formats::name;
    return f;
}

// One alternative of a variant.
template <class Alternative, auto Begin, auto Member>
constexpr config_field action(std::string_view key, const config_table& table, std::string_view doc) {
    using object = detail::object_of<Member>;
    return {.key = key,
            .kind = config_kind::section,
            .doc = doc,
            .table = &table,
            .open = [](void* o, const config_defaults& from, std::string_view name) -> void* {
                return &(static_cast<object*>(o)->*Member).template emplace<Alternative>(Begin(from, name));
            },
            .peek = [](const void* o) -> const void* {
                return std::get_if<Alternative>(&(static_cast<const object*>(o)->*Member));
            }};
}

constexpr config_field required(config_field f) {
    f.required = true;
    return f;
}

// A time that may be none at all.
constexpr config_field or_zero(config_field f) {
    f.or_zero = true;
    return f;
}

// A time, size or count for which there may be no bound.
constexpr config_field or_none(config_field f) {
    f.or_none = true;
    return f;
}

// A list that has at least one item.
constexpr config_field not_empty(config_field f) {
    f.least = 1;
    return f;
}

// A list, or tables by name, of at most so many items.
constexpr config_field at_most(std::int64_t items, config_field f) {
    f.most = items;
    return f;
}

constexpr config_field by_default(std::string_view text, config_field f) {
    f.default_text = text;
    return f;
}

template <class T>
const void* built_in() {
    static const T value{};
    return &value;
}

} // namespace headgate::gateway::rows
