#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <gateway/config/interpolate.hpp>
#include <gateway/config/yaml.hpp>

namespace headgate::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// The tree as one line: {a: 1@2:3} would be too much, so places have tests of their own.
std::string shape(const yaml_node& n) {
    std::string out;
    switch (n.what) {
    case yaml_node::type::null: return "~";
    case yaml_node::type::scalar: return "'" + n.text + "'";
    case yaml_node::type::list:
        for (const yaml_node& i : n.items) out += (out.empty() ? "" : " ") + shape(i);
        return "[" + out + "]";
    case yaml_node::type::map:
        for (std::size_t i = 0; i < n.items.size(); ++i)
            out += (out.empty() ? "" : " ") + n.keys[i].text + "=" + shape(n.items[i]);
        return "{" + out + "}";
    }
    return out;
}

struct parsed {
    yaml_node root;
    std::string errors;
};

parsed parse(std::string_view text) {
    config_errors errors("t", text);
    yaml_node root = parse_yaml(text, errors);
    std::string all;
    for (const config_error& e : std::move(errors).take())
        all += std::to_string(e.at.line) + ":" + std::to_string(e.at.column) + " " + e.message + "\n";
    return {std::move(root), std::move(all)};
}

TEST(Yaml, MakesTreesOfText) {
    const std::pair<std::string_view, std::string_view> cases[] = {
        {"", "~"},
        {"a: 1\nb: [x, 'y z', \"q\\n\"]\nc: {d: }\n", "{a='1' b=['x' 'y z' 'q\n'] c={d=~}}"},
        {"- null\n- ~\n- 'null'\n- on\n- 0x10\n", "[~ ~ 'null' 'on' '0x10']"},
        {"a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{a='x\ny\n' b='x y'}"},
        {"a: &x [1, 2]\nb: *x\n", "{a=['1' '2'] b=['1' '2']}"},
        {"a: 'it''s'\nb: 'one  \n  two\n\n  three'\n", "{a='it's' b='one two\nthree'}"},
        {"a: 'ä''ö'\n", "{a='ä'ö'}"},
        {"a: ''\n", "{a=''}"},
    };
    for (const auto& [text, tree] : cases) {
        const parsed p = parse(text);
        EXPECT_EQ(shape(p.root), tree);
        EXPECT_EQ(p.errors, "") << text;
    }
}

TEST(Yaml, KnowsPlacesInCharacters) {
    const parsed p = parse("a: [x,\n   y]\nä: {b: \"ö\", c: d}\n");
    ASSERT_EQ(p.root.items.size(), 2u);
    EXPECT_EQ(p.root.items[0].at, (config_mark{1, 4}));
    EXPECT_EQ(p.root.items[0].items[1].at, (config_mark{2, 4}));
    EXPECT_EQ(p.root.keys[1].at, (config_mark{3, 1}));
    EXPECT_EQ(p.root.items[1].keys[1].at, (config_mark{3, 13}));
}

TEST(Yaml, RefusesWhatIsNotOneDocumentOfWords) {
    const std::pair<std::string_view, std::string_view> cases[] = {
        {"a: 1\nb: 2\na: 3\n", "3:1 'a' is given twice; the first is on line 1\n"},
        {"a: {x: 1, x: 2}\nb: {y: 1, y: 2}\n",
         "1:11 'x' is given twice; the first is on line 1\n2:11 'y' is given twice; the first is on line 2\n"},
        {"a: 1\n---\nb: 2\n", "2:1 a second document begins here; a configuration is one document\n"},
        {"a: !!str 1\n", "1:10 a tag (!...) has no meaning here; leave it out\n"},
        {"a: *x\n", "1:5 there is no anchor '&x' before this\n"},
        {"? [a]\n: 1\n", "1:3 a key must be a word, not a list\n"},
        {"%YAML 1.1\n---\na: 1\n",
         "1:1 a line that begins with '%' is a directive to YAML readers; none is needed here\n"},
        {"a: \"\xff\"\n", "1:5 the byte 0xff is not UTF-8; save the file as UTF-8\n"},
        {"a: 1\nb: \x01\n", "2:4 the control character 0x01 is not allowed; in double quotes write \\x01\n"},
        {"a: 1\rb: 2\n", "1:5 a carriage return must be followed by a line feed\n"},
    };
    for (const auto& [text, errors] : cases) EXPECT_EQ(parse(text).errors, errors);
    EXPECT_THAT(parse("a: [1, 2\nb: 3\n").errors, HasSubstr("this is not YAML: "));
    EXPECT_THAT(parse("a: 1\n b: 2\n").errors, StartsWith("2:"));
}

TEST(Yaml, IsBounded) {
    std::string deep;
    for (std::size_t i = 0; i <= yaml_depth_max; ++i) deep += "[";
    EXPECT_THAT(parse(deep).errors, HasSubstr("more than 32 levels"));

    std::string laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
    for (char c = 'b'; c < 'j'; ++c) {
        const std::string of(1, static_cast<char>(c - 1));
        laughs += std::string(1, c) + ": &" + c + " [*" + of;
        for (int i = 0; i < 9; ++i) laughs += ", *" + of;
        laughs += "]\n";
    }
    EXPECT_THAT(parse(laughs).errors, HasSubstr("more than 200000 values"));
    EXPECT_THAT(parse(std::string(yaml_bytes_max + 1, ' ')).errors, HasSubstr("longer than 4 MiB"));
}

struct put_in {
    std::string tree;
    std::string errors;
};

put_in interpolated(std::string_view text) {
    config_errors errors("t", text);
    yaml_node root = parse_yaml(text, errors);
    interpolate(root,
                {.variable = [](const std::string& name) -> std::optional<std::string> {
                     if (name == "EMPTY") return "";
                     if (name == "LIST") return "[a, b]\nc: d";
                     if (name == "N") return "5";
                     return std::nullopt;
                 },
                 .file = [](const std::string& path) -> std::expected<std::string, std::string> {
                     if (path == "/secret") return "hush\r\n";
                     if (path == "/lines") return "a\n\n";
                     return std::unexpected("No such file or directory");
                 }},
                errors);
    return {shape(root), format_errors(std::move(errors).take())};
}

TEST(Interpolation, PutsInValuesAndNeverStructure) {
    const std::pair<std::string_view, std::string_view> cases[] = {
        {"a: ${N}", "{a='5'}"},
        {"a: x${N}y${N}", "{a='x5y5'}"},
        {"a: ${LIST}", "{a='[a, b]\nc: d'}"},
        {"a: ${EMPTY}", "{a=''}"},
        {"a: ${EMPTY:-x}", "{a='x'}"},
        {"a: ${NONE:-}", "{a=''}"},
        {"a: ${NONE:-x:-y}", "{a='x:-y'}"},
        {"a: ${N:-x}", "{a='5'}"},
        {"a: $${N} $N $$ {N}", "{a='${N} $N $$ {N}'}"},
        {"a: \"${file:/secret}\"", "{a='hush'}"},
        {"a: \"${file:/lines}\"", "{a='a\n'}"},
        {"${N}: 1", "{${N}='1'}"},
    };
    for (const auto& [text, tree] : cases) {
        const put_in p = interpolated(text);
        EXPECT_EQ(p.tree, tree);
        EXPECT_EQ(p.errors, "");
    }
}

TEST(Interpolation, TellsWhatItCannotFind) {
    const std::pair<std::string_view, std::string_view> cases[] = {
        {"a: [1, \"${NONE}\"]", "t:1:9: the variable NONE is not set; set it, or write ${NONE:-default}"},
        {"a: ${", "t:1:4: this has a ${ without its }; for a ${ as it is, write $${"},
        {"a: ${1}", "'${1}' is not understood; write ${NAME}, ${NAME:-default} or ${file:/path}"},
        {"a: ${}", "'${}' is not understood"},
        {"a: ${file:/none}", "'/none' cannot be read: No such file or directory"},
    };
    for (const auto& [text, error] : cases) EXPECT_THAT(interpolated(text).errors, HasSubstr(error));
}

TEST(Interpolation, ReadsOnlyRegularFiles) {
    EXPECT_EQ(read_whole_file("/dev/null", 10).error(), "it is not a regular file");
    EXPECT_EQ(read_whole_file("/none", 10).error(), "No such file or directory");
    EXPECT_EQ(read_whole_file("/proc/self/status", 10).error(), "it is longer than 10 bytes");
}

} // namespace
} // namespace headgate::gateway
