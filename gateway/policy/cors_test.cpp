#include <headgate/http/parser.hpp>

#include <gtest/gtest.h>

#include <gateway/policy/cors.hpp>

namespace headgate::gateway {
namespace {

struct asked {
    explicit asked(const std::string& fields, const std::string& method = "OPTIONS")
        : text(method + " / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n") {
        EXPECT_EQ(parser.parse(text).state, http::parse_state::complete);
    }
    const http::request_head& head() { return parser.head(); }
    std::string text;
    http::request_parser parser;
};

std::string text_of(const header_edits& e) {
    std::string out;
    for (const auto& [name, value] : e.set) out.append(name).append(": ").append(value).append("\n");
    for (const auto& [name, value] : e.add) out.append("+").append(name).append(": ").append(value).append("\n");
    return out;
}

std::string preflight(const cors_options& o, const std::string& fields) {
    asked rq(fields);
    header_edits e;
    add_preflight_fields(o, rq.head(), e);
    return text_of(e);
}

std::string simple(const cors_options& o, const std::string& fields) {
    asked rq(fields, "GET");
    header_edits e;
    add_cors_fields(o, rq.head(), e);
    EXPECT_EQ(e.remove.size(), 3u) << "what the upstream says of CORS does not go on";
    return text_of(e);
}

TEST(Cors, ReadsOrigins) {
    for (const char* text : {"*", "https://example.org", "http://localhost:8080", "https://*.example.org",
                             "https://*.example.org:8443", "http://[::1]:80"})
        EXPECT_TRUE(is_origin_pattern(text)) << text;
    for (const char* text :
         {"", "example.org", "://x", "https://", "https://*", "https://*.", "https://a.*.org", "null",
          "https://example.org/", "https://a@b", "https://x:", "https://X", "**", "https://*x.org"})
        EXPECT_FALSE(is_origin_pattern(text)) << text;
}

TEST(Cors, AdmitsOrigins) {
    const cors_options o{.allow_origins = {"https://example.org", "https://*.example.net", "http://*.example.com:81"}};
    for (const char* origin :
         {"https://example.org", "https://a.example.net", "https://a.b.example.net", "http://x-1.example.com:81"})
        EXPECT_TRUE(admits_origin(o, origin)) << origin;
    for (const char* origin : {"", "null", "http://example.org", "https://example.org.evil", "https://evil-example.org",
                               "https://example.net", "https://.example.net", "https://example.net.example.nets",
                               "https://evil.org/.example.net", "https://evil.org:1.example.net",
                               "https://u@a.example.net", "https://evil.org#.example.net", "http://a.example.com",
                               "https://EXAMPLE.org", "https://example.org:443", "https://*.example.net"})
        EXPECT_FALSE(admits_origin(o, origin)) << origin;
    EXPECT_TRUE(admits_origin({.allow_origins = {"*"}}, "null"));
}

TEST(Cors, KnowsAPreflight) {
    const std::string origin = "Origin: https://a\r\n";
    const std::string method = "Access-Control-Request-Method: PUT\r\n";
    EXPECT_TRUE(is_preflight(asked(origin + method).head()));
    EXPECT_EQ(requested_method(asked(origin + method).head()), "PUT");
    EXPECT_FALSE(is_preflight(asked(origin).head()));
    EXPECT_FALSE(is_preflight(asked(method).head()));
    EXPECT_FALSE(is_preflight(asked(origin + method, "GET").head()));
}

constexpr const char* vary = "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\n";

TEST(Cors, AnswersAPreflight) {
    const std::string asks = "Origin: https://a\r\nAccess-Control-Request-Method: PUT\r\n"
                             "Access-Control-Request-Headers: x-a, authorization\r\n";
    const cors_options o{.allow_origins = {"https://a"},
                         .allow_methods = {"GET", "PUT"},
                         .allow_headers = {"X-A"},
                         .allow_credentials = true,
                         .max_age = std::chrono::hours(1)};
    EXPECT_EQ(preflight(o, asks), std::string(vary) +
                                      "Access-Control-Allow-Origin: https://a\nAccess-Control-Allow-Credentials: true\n"
                                      "Access-Control-Allow-Methods: GET, PUT\nAccess-Control-Allow-Headers: X-A\n"
                                      "Access-Control-Max-Age: 3600\n");
    EXPECT_EQ(preflight(o, "Origin: https://b\r\nAccess-Control-Request-Method: PUT\r\n"), vary);
    const cors_options all{.allow_origins = {"*"}, .allow_methods = {"*"}, .allow_headers = {"*"}};
    EXPECT_EQ(preflight(all, asks),
              std::string(vary) + "Access-Control-Allow-Origin: *\nAccess-Control-Allow-Methods: PUT\n"
                                  "Access-Control-Allow-Headers: x-a, authorization\nAccess-Control-Max-Age: 5\n");
    EXPECT_EQ(preflight(all, "Origin: null\r\nAccess-Control-Request-Method: a b\r\n"
                             "Access-Control-Request-Headers: a\"b\r\n"),
              std::string(vary) + "Access-Control-Allow-Origin: *\nAccess-Control-Max-Age: 5\n")
        << "what is no name is not given back";
}

TEST(Cors, ChangesOtherAnswers) {
    const cors_options o{.allow_origins = {"https://a", "https://b"}, .expose_headers = {"X-A", "X-B"}};
    EXPECT_EQ(simple(o, "Origin: https://b\r\n"),
              "Access-Control-Allow-Origin: https://b\nAccess-Control-Expose-Headers: X-A, X-B\n+Vary: Origin\n");
    EXPECT_EQ(simple(o, "Origin: https://c\r\n"), "+Vary: Origin\n");
    EXPECT_EQ(simple(o, ""), "+Vary: Origin\n") << "a cache must know that it would be another";
    EXPECT_EQ(simple({.allow_origins = {"*"}}, "Origin: https://c\r\n"), "Access-Control-Allow-Origin: *\n");
    EXPECT_EQ(simple({.allow_origins = {"*"}}, ""), "");
}

} // namespace
} // namespace headgate::gateway
