#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include <gateway/config/load.hpp>
#include <gateway/config/scalars.hpp>
#include <gateway/config/tables.hpp>

namespace headgate::gateway {
namespace {

// All tables that the file's leads to.
void collect(const config_table& t, std::set<const config_table*>& all) {
    if (!all.insert(&t).second) return;
    for (const config_field& f : t.fields)
        if (f.table) collect(*f.table, all);
}

std::set<const config_table*> all_tables() {
    std::set<const config_table*> all;
    collect(tables::document, all);
    return all;
}

// A right value for the row that is not its default.
std::string sample(const config_field& f, const void* defaults) {
    switch (f.kind) {
    case config_kind::time: return "7s";
    case config_kind::size:
    case config_kind::count: return std::to_string(std::min(f.least + 11, f.most));
    case config_kind::flag: return std::get<bool>(f.load(defaults)) ? "false" : "true";
    case config_kind::choice: return std::string(f.choices.back());
    default: return std::string(f.format->example);
    }
}

TEST(ConfigTables, KeysAreOnceAndExplained) {
    for (const config_table* t : all_tables()) {
        EXPECT_FALSE(t->name.empty());
        std::set<std::string_view> keys;
        for (const config_field* f : all_fields(*t)) {
            EXPECT_TRUE(keys.insert(f->key).second) << f->key;
            EXPECT_TRUE(f->doc.ends_with('.')) << f->key;
            if (!f->table) EXPECT_TRUE(f->store && f->load) << f->key;
        }
        for (const config_alternatives& a : t->alternatives) {
            for (const std::string_view key : a.keys) EXPECT_TRUE(find_field(*t, key)) << key;
            if (!a.required) EXPECT_EQ(a.keys.size(), 2u) << "what the schema says of them";
        }
        if (!t->shorthand.empty()) EXPECT_TRUE(find_field(*t, t->shorthand));
    }
}

// The options are many and alike: each row must be about a member of its own, and about that alone.
template <class Options>
void check_options(const config_table& table) {
    for (const config_field& f : table.fields) {
        if (f.table) continue;
        Options o;
        auto value = read_scalar(f, sample(f, &o), "");
        ASSERT_TRUE(value) << f.key << ": " << value.error();
        if (f.kind == config_kind::texts) value = std::vector<std::string>{std::get<std::string>(*value)};
        const config_scalar before = f.load(&o);
        f.store(&o, *value);
        EXPECT_EQ(f.load(&o), *value) << f.key;
        EXPECT_NE(f.load(&o), before) << f.key << " is tried with its default";
        const Options untouched;
        for (const config_field& other : table.fields)
            if (&other != &f && !other.table)
                EXPECT_EQ(other.load(&o), other.load(&untouched)) << f.key << " changes " << other.key;
    }
}

TEST(ConfigTables, EachOptionHasAMemberOfItsOwn) {
    check_options<server_options>(tables::server);
    check_options<http_options>(tables::listener_options);
    check_options<route_options>(tables::proxy_options);
    check_options<tcp_action>(tables::tcp_options);
    check_options<listener_config>(tables::listener_policies);
    check_options<route_config>(tables::route_policies);
    check_options<rate_limit_options>(tables::rate_limit);
    check_options<cors_options>(tables::cors);
    check_options<upstream_options>(tables::upstream_options);
    check_options<source_config>(tables::source);
    check_options<ejection_options>(tables::ejection);
    check_options<health_check_options>(tables::health_check);
    check_options<retry_options>(tables::retries);
    check_options<retry_budget_options>(tables::retry_budget);
    check_options<circuit_breaker_options>(tables::circuit_breaker);
    check_options<compression_options>(tables::compression);
    check_options<sticky_cookie_options>(tables::sticky_cookie);
    check_options<dns_options>(tables::dns);
    check_options<name_options>(tables::names);
}

TEST(ConfigTables, DefaultsAreRightValues) {
    for (const config_table* t :
         {&tables::server, &tables::listener_options, &tables::proxy_options, &tables::tcp_options,
          &tables::upstream_options, &tables::ejection, &tables::health_check, &tables::retries, &tables::retry_budget,
          &tables::circuit_breaker}) {
        for (const config_field& f : t->fields) {
            if (f.table || f.kind == config_kind::texts || !f.default_text.empty()) continue;
            const config_scalar value = f.load(t->built_in());
            const std::string text = write_scalar(f, value);
            const auto again = read_scalar(f, text, text);
            ASSERT_TRUE(again) << f.key << ": " << again.error();
            EXPECT_EQ(*again, value) << f.key;
        }
    }
}

TEST(ConfigTables, ValuesAreTakenOrRefusedWithWhatWouldBeRight) {
    const config_field time{.kind = config_kind::time};
    const config_field size{.kind = config_kind::size, .least = 1024, .most = 1 << 20};
    const config_field count{.kind = config_kind::count, .least = -5, .most = 10};
    const config_field flag{.kind = config_kind::flag};
    config_field none = count;
    none.or_none = true;
    config_field zero = time;
    zero.or_zero = true;
    struct wrong {
        const config_field& field;
        std::string_view text;
        std::string_view error;
    };
    const wrong cases[] = {
        {time, "45", "V needs a unit: write 30s, or ms, m or h"},
        {time, "0s", "V is no time at all; the shortest is 1ms"},
        {zero, "0d", "V is not a duration: a whole number and ms, s, m or h, for example 30s"},
        {time, "1d", "V is not a duration: a whole number and ms, s, m or h, for example 30s"},
        {time, "-1s", "V is not a duration: a whole number and ms, s, m or h, for example 30s"},
        {time, "", "V is not a duration: a whole number and ms, s, m or h, for example 30s"},
        {size, "64KB", "V is not a size: a whole number and KiB, MiB or GiB, for example 64KiB"},
        {size, "1", "V is out of range: from 1KiB to 1MiB"},
        {size, "2MiB", "V is out of range: from 1KiB to 1MiB"},
        {count, "11", "V is out of range: from -5 to 10"},
        {count, "99999999999999999999", "V is out of range: from -5 to 10"},
        {count, "1.5", "V is not a whole number from -5 to 10"},
        {count, "", "V is not a whole number from -5 to 10"},
        {none, "x", "V is not a whole number from -5 to 10, or none"},
        {flag, "on", "V is neither true nor false; write true"},
        {flag, "No", "V is neither true nor false; write false"},
        {flag, "maybe", "V is neither true nor false"},
    };
    for (const auto& [field, text, error] : cases) {
        const auto value = read_scalar(field, text, "V");
        ASSERT_FALSE(value) << text;
        EXPECT_EQ(value.error(), error) << text;
    }
    EXPECT_EQ(read_scalar(time, "500ms", ""), config_scalar(std::chrono::milliseconds(500)));
    EXPECT_EQ(read_scalar(zero, "0m", ""), config_scalar(duration::zero()));
    EXPECT_EQ(read_scalar(size, "1MiB", ""), config_scalar(std::int64_t{1} << 20));
    EXPECT_EQ(read_scalar(none, "none", ""), config_scalar(config_unlimited));
    EXPECT_EQ(read_scalar(none, "-5", ""), config_scalar(std::int64_t{-5}));
}

TEST(ConfigTables, FormatsTakeTheirExamplesAndRefuseOthers) {
    struct pair {
        const text_format& format;
        std::string_view wrong;
    };
    const pair cases[] = {
        {formats::name, "a b"},
        {formats::name, ""},
        {formats::listen, "8080"},
        {formats::endpoint, "host"},
        {formats::endpoint, "h:0"},
        {formats::route_host, "a.b:80"},
        {formats::route_host, "a.*"},
        {formats::host_name, "*.a.b"},
        {formats::host, "a b"},
        {formats::path, "api"},
        {formats::path, "/a?b"},
        {formats::path, "/a b"},
        {formats::new_prefix, "a"},
        {formats::method, "get"},
        {formats::header_name, "a:"},
        {formats::edited_header, "Content-Length"},
        {formats::edited_header, "transfer-encoding"},
        {formats::edited_header, "Host"},
        {formats::edited_header, "Connection"},
        {formats::header_value, "a\r\nb: c"},
        {formats::header_value, " a"},
        {formats::parameter, ""},
        {formats::protocol, "a,b"},
        {formats::file_name, "a/b"},
        {formats::file_name, ".."},
        {formats::extension, "tar.gz"},
        {formats::coding, "deflate"},
        {formats::algorithm, "br"},
        {formats::media_type, "*/*"},
        {formats::media_type, "text/*x"},
        {formats::media_type, "text/html; charset=utf-8"},
        {formats::network, "10.0.0.1/8"},
        {formats::network, "example.org"},
        {formats::origin, "example.org"},
        {formats::origin, "https://example.org/"},
        {formats::origin, "https://*"},
        {formats::origin, "null"},
        {formats::retry_condition, "404-399"},
        {formats::retry_condition, "302"},
        {formats::retry_condition, "resets"},
        {formats::srv_name, "http._tcp.example.org"},
        {formats::srv_name, "_http._tcp"},
        {formats::nameserver, ":53"},
        {formats::nameserver, "127.0.0.1"},
    };
    for (const auto& [format, wrong] : cases) {
        std::string right(format.example);
        EXPECT_TRUE(format.check(right)) << format.example;
        std::string text(wrong);
        EXPECT_FALSE(format.check(text)) << format.what << ": " << wrong;
    }
    std::string host = "*.Example.ORG";
    EXPECT_TRUE(formats::route_host.check(host));
    EXPECT_EQ(host, "*.example.org");
}

} // namespace
} // namespace headgate::gateway
