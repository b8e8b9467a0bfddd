#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <gateway/config/check.hpp>
#include <gateway/config/load.hpp>

namespace headgate::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

config_surroundings around() {
    return {.variable = [](const std::string&) { return std::nullopt; },
            .file = [](const std::string&) -> std::expected<std::string, std::string> { return "hush"; }};
}

// "line:column message" of each error.
std::string errors_of(const std::string& text) {
    const auto c = read_config(text, "t", around());
    if (c) return "";
    std::string all;
    for (const config_error& e : c.error())
        all += std::to_string(e.at.line) + ":" + std::to_string(e.at.column) + " " + e.message + "\n";
    return all;
}

config read(const std::string& text) {
    auto c = read_config(text, "t", around());
    if (!c) ADD_FAILURE() << format_errors(c.error());
    return c ? std::move(c->value) : config{};
}

const std::string web = "listeners: [{name: web, address: \":80\"}]\n";
const std::string up = "upstreams: {x: {endpoints: [\"h:1\"]}, y: {endpoints: [\"h:2\"]}}\n";

struct wrong {
    std::string text;
    std::string error; // all of it
};

TEST(CheckConfig, TellsWhatNoSingleValueTells) {
    const wrong cases[] = {
        // names
        {web + up + "routes: [{proxy: {upstream: z}}]\n", "3:29 there is no upstream 'z'; there are 'x' and 'y'\n"},
        {web + "routes: [{proxy: {upstream: z}}]\n", "2:29 there is no upstream 'z'; there is none\n"},
        {web + up + "routes: [{proxy: {upstreams: [x, z]}}]\n",
         "3:34 there is no upstream 'z'; there are 'x' and 'y'\n"},
        {web + up + "routes: [{listeners: [wob], proxy: {upstream: x}}]\n",
         "1:13 no route is for the listener 'web'\n3:23 there is no listener 'wob'; did you mean 'web'?\n"},
        {web + up +
             "routes:\n- {name: a, match: {path: /a}, proxy: {upstream: x}}\n"
             "- {name: a, match: {path: /b}, proxy: {upstream: x}}\n",
         "5:10 the name 'a' is taken already, on line 4\n"},
        // retries
        {web + up + "routes: [{proxy: {upstream: x, retries: {retry_on: [timeout]}}}]\n",
         "3:52 timeout needs a per_try_timeout: that is what a try must take no longer than\n"},
        // fallback
        {web + up + "routes: [{proxy: {upstream: x, fallback: z}}]\n",
         "3:42 there is no upstream 'z'; there are 'x' and 'y'\n"},
        {web + up + "routes: [{proxy: {upstreams: [y, x], fallback: x}}]\n",
         "3:48 'x' is an upstream of this route already; the fallback must be another\n"},
        // addresses
        {"listeners: [{name: a, address: \":80\"}, {name: b, address: \"127.0.0.1:80\"}]\nroutes: [{respond: {}}]\n",
         "1:60 two listeners on one address: this one and that of line 1 overlap\n"},
        {"listeners: [{name: a, address: \"[::]:80\"}, {name: b, address: \":80\"}]\nroutes: [{respond: {}}]\n",
         "1:64 two listeners on one address: this one and that of line 1 overlap\n"},
        {"listeners: [{name: a, address: \"unix:/x\"}, {name: b, address: \"unix:/x\"}]\nroutes: [{respond: {}}]\n",
         "1:64 two listeners on one address: this one and that of line 1 overlap\n"},
        // weights
        {web + up + "routes: [{proxy: {upstreams: [{upstream: x, weight: 0}]}}]\n",
         "3:30 all weights are 0, so none is ever used; give one a weight of 1 or more\n"},
        {web + "routes: [{respond: {}}]\nupstreams: {x: {endpoints: [{address: \"h:1\", weight: 0}]}}\n",
         "3:28 all weights are 0, so none is ever used; give one a weight of 1 or more\n"},
        // policies
        {web + "routes: [{respond: {}, rate_limit: {requests: 1, per: 1500ms}}]\n",
         "2:55 this must be whole seconds, at most 1h\n"},
        {web + "routes: [{respond: {}, rate_limit: {requests: 1, per: 2h}}]\n",
         "2:55 this must be whole seconds, at most 1h\n"},
        {web + "routes: [{respond: {}, rate_limit: {requests: 1, key: header}}]\n",
         "2:36 which one? header must name the header whose value is the key\n"},
        {web + "routes: [{respond: {}, cors: {allow_origins: [\"*\"], allow_credentials: true}}]\n",
         "2:72 credentials cannot be allowed for the origin *, which is every page there is; name the origins that may "
         "send them\n"},
        {web + up +
             "routes: [{tcp: {upstream: x}, requests_max: 1, rate_limit: {requests: 1}, cors: {allow_origins: "
             "[\"*\"]}}]\n",
         "3:45 'requests_max' has no meaning in a tcp route\n3:60 'rate_limit' has no meaning in a tcp route\n"
         "3:81 'cors' has no meaning in a tcp route\n"},
        // tcp and http
        {web + up + "routes: [{tcp: {upstream: x}}, {listeners: [web], respond: {}}]\n",
         "3:10 there is no tcp listener for the route 'route-1'\n"},
        {web + up + "routes: [{listeners: [web], tcp: {upstream: x}}, {listeners: [web], respond: {}}]\n",
         "3:63 the listener 'web' speaks tcp and the route 'route-2' is for requests; a listener serves one kind of "
         "routes\n"},
        {"listeners: [{name: a, address: \":80\", protocol: http}]\n" + up +
             "routes: [{listeners: [a], tcp: {upstream: x}}]\n",
         "3:23 the listener 'a' speaks http and the route 'route-1' is for tcp connections; a listener serves one kind "
         "of routes\n"},
        {web + up + "routes: [{tcp: {upstream: x}}, {tcp: {upstream: y}}]\n",
         "3:32 the tcp listener 'web' has a route already, on line 3; a connection tells nothing to choose by\n"},
        {web + up + "routes: [{match: {path: /x}, tcp: {upstream: x}}]\n",
         "3:18 match has no meaning in a tcp route: a connection tells nothing to choose by\n"},
        {"listeners: [{name: a, address: \":80\", header_timeout: 1s}]\n" + up + "routes: [{tcp: {upstream: x}}]\n",
         "1:55 'header_timeout' has no meaning on a tcp listener\n"},
        // actions
        {web + up + "routes: [{match: {path: /x}, proxy: {upstream: x, replace_prefix: /}}]\n",
         "3:67 replace_prefix needs a path_prefix in the route's match: that is what it replaces\n"},
        {web + "routes: [{redirect: {status: 301}}]\n",
         "2:21 this sends clients back to where they are; give a scheme, host, port, replace_prefix or "
         "replace_path\n"},
        {web + "routes: [{respond: {status: 204, body: x}}]\n",
         "2:40 an answer with status 204 has no body (RFC 9110, section 15)\n"},
        // routes beside each other
        {web + "routes:\n- {name: a, match: {path_prefix: /x}, respond: {}}\n"
               "- {name: b, match: {path_prefix: /x/}, respond: {}}\n",
         "4:20 the routes 'a' on line 3 and 'b' can take the same request and are equally specific; make one more "
         "specific, or give one a priority\n"},
        {web + "routes:\n- {name: a, match: {path: /x, priority: 1}, respond: {}}\n"
               "- {name: b, match: {path: /x}, respond: {}}\n",
         "4:20 the route 'b' is never reached: 'a' on line 3 takes all its requests and is asked first; remove one\n"},
    };
    for (const auto& [text, error] : cases) EXPECT_EQ(errors_of(text), error) << text;
}

TEST(CheckConfig, TakesWhatOnlyLooksWrong) {
    const std::string two = "listeners: [{name: a, address: \":80\"}, {name: b, address: \":81\"}]\n";
    const std::string right[] = {
        // The same routes at different listeners are no conflict.
        two + "routes: [{listeners: [a], respond: {}}, {listeners: [b], respond: {}}]\n",
        "listeners: [{name: a, address: \"127.0.0.1:80\"}, {name: b, address: \"127.0.0.2:80\"}]\nroutes: [{respond: "
        "{}}]\n",
        two + up + "routes: [{listeners: [b], tcp: {upstream: x}}, {respond: {}}]\n",
        web + "routes: [{match: {path: /x, methods: [GET]}, respond: {}}, {match: {path: /x, methods: [PUT]}, respond: "
              "{}}]\n",
    };
    for (const std::string& text : right) EXPECT_EQ(errors_of(text), "");
}

TEST(CheckConfig, SaysNothingOfWhatFollowsFromAnError) {
    // The route's path is wrong: that it would now take what the other takes is not told.
    EXPECT_EQ(errors_of(web + "routes: [{match: {path: x}, respond: {}}, {respond: {}}]\n"),
              "2:25 'x' is not a path, which begins with a slash and has no query, for example /api/\n");
    EXPECT_EQ(errors_of(web + "routes: [{listeners: [\"${NONE}\"], respond: {}}]\n"),
              "2:24 the variable NONE is not set; set it, or write ${NONE:-default}\n");
}

TEST(CheckConfig, DerivesProtocols) {
    const config only = read(web + up + "routes: [{tcp: {upstream: x}}]\n");
    EXPECT_EQ(only.listeners[0].protocol, listener_protocol::tcp);
    EXPECT_THAT(listeners_of(only, 0), ElementsAre(0));

    const config both = read("listeners: [{name: a, address: \":80\"}, {name: b, address: \":81\"}]\n" + up +
                             "routes: [{respond: {}}, {listeners: [b], tcp: {upstream: x}}]\n");
    EXPECT_EQ(both.listeners[0].protocol, listener_protocol::http);
    EXPECT_EQ(both.listeners[1].protocol, listener_protocol::tcp);
    EXPECT_THAT(listeners_of(both, 0), ElementsAre(0));
    EXPECT_THAT(listeners_of(both, 1), ElementsAre(1));
}

TEST(CheckConfig, DoesNotShowWhatFilesHold) {
    const std::string texts[] = {
        web + up + "routes: [{proxy: {upstream: \"${file:/s}\"}}]\n",
        web + up + "routes: [{name: \"${file:/s}\", listeners: [\"${file:/s}\"], proxy: {upstream: hush}}]\n",
        web + up + "routes: [{proxy: {upstream: x, rate_grace: \"${file:/s}\"}}]\n",
        web + up + "routes: [{proxy: {upstream: x, request_body_max: \"${file:/s}\"}}]\n",
        web + up + "routes: [{proxy: {upstream: x, connect: \"${file:/s}\"}}]\n",
        web + up + "routes: [{redirect: {status: \"${file:/s}\"}}]\n",
        web + up + "routes: [{respond: {status: \"${file:/s}\"}}]\n",
        web + up + "routes: [{match: {hosts: \"${file:/s}\"}, respond: {}}]\n",
        web + up + "routes: [{match: {path: \"${file:/s}\"}, respond: {}}]\n",
        "listeners: [{name: a, address: \"${file:/s}\"}]\nroutes: [{respond: {}}]\n",
    };
    for (const std::string& text : texts) {
        EXPECT_NE(errors_of(text), "") << text;
        EXPECT_THAT(errors_of(text), Not(HasSubstr("hush"))) << text;
    }
}

TEST(CheckConfig, DoesNotShowNumbersThatFilesHold) {
    const auto c = read_config(web + "routes: [{respond: {}}]\nserver: {drain_timeout: \"${file:/s}\"}\n", "t",
                               {.variable = {}, .file = [](const std::string&) { return "4711"; }});
    ASSERT_FALSE(c);
    EXPECT_EQ(c.error().at(0).message, "'${file:/s}' needs a unit: write 30s, or ms, m or h");
}

TEST(ConfigErrors, AreBounded) {
    std::string text = web + "routes: [{respond: {}}]\n";
    for (int i = 0; i < 2000; ++i) text += "k" + std::to_string(i) + ": 1\n";
    const auto c = read_config(text, "t", around());
    ASSERT_FALSE(c);
    ASSERT_EQ(c.error().size(), 51u);
    EXPECT_EQ(c.error().front().at, (config_mark{3, 1}));
    EXPECT_EQ(c.error().back().text(), "t: and 1950 more");
}

TEST(ConfigErrors, ShowThePartOfALongLineThatMatters) {
    const std::string line = "listeners: [" + std::string(200, ' ') + "{nöme: x}" + std::string(200, ' ') + "]";
    const auto c = read_config(line + "\n", "t", around());
    ASSERT_FALSE(c);
    for (const config_error& e : c.error()) {
        if (e.at.column < 200) continue;
        EXPECT_LE(e.source.size(), 110u);
        EXPECT_THAT(e.source.substr(e.caret), ::testing::StartsWith(e.at.column == 213 ? "{nöme" : "nöme"));
    }
}

} // namespace
} // namespace headgate::gateway
