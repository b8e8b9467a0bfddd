#include <headgate/flow/pipeline.hpp>
#include <headgate/stages/csv.hpp>
#include <headgate/stages/json.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

#include <algorithm>
#include <random>

#include <gmock/gmock.h>

namespace headgate {
namespace {

using enum value_type;
using ::testing::HasSubstr;

struct value {
    value_type type = null;
    std::string text{};
};
using row = std::vector<value>;

struct table {
    std::vector<column> columns;
    std::vector<row> rows;
    std::size_t rows_in_batch = 1000;
};

row_batch batch_of(const table& t, std::size_t from, const column_set& set) {
    std::size_t bytes = 0;
    const std::size_t end = std::min(from + t.rows_in_batch, t.rows.size());
    for (std::size_t r = from; r < end; ++r)
        for (const value& v : t.rows[r]) bytes += v.text.size() + 16;
    row_batch b(set, std::max(bytes, row_batch::usual_bytes));
    for (std::size_t r = from; r < end; ++r) {
        std::size_t n = 0;
        for (const value& v : t.rows[r]) n += v.text.size();
        b.begin_row(n);
        for (const value& v : t.rows[r]) v.type == null ? b.add_null() : b.add(v.type, v.text);
    }
    return b;
}

stream<row_batch> rows_of(table t) {
    const column_set set(t.columns);
    std::size_t at = 0;
    do {
        co_yield batch_of(t, at, set);
        at += t.rows_in_batch;
    } while (at < t.rows.size());
}

// One column of text.
table texts(std::vector<std::string> all) {
    table t{.columns = {{.name = "t", .type = text}}, .rows = {}};
    for (std::string& s : all) t.rows.push_back({{text, std::move(s)}});
    return t;
}
// One row, with a column for each value.
table one_row(row values) {
    table t;
    for (const value& v : values) t.columns.push_back({.name = "c", .type = v.type});
    t.rows.push_back(std::move(values));
    return t;
}

class format_test : public testing::simulated_test {
protected:
    template <class Stage>
    std::string written(table t, const Stage& stage) {
        testing::sink_log<chunk> log;
        const outcome end = run(pipeline(rows_of(std::move(t)), stage, testing::recording_sink<chunk>(log)));
        error = end ? flow_error() : end.error();
        std::string out;
        for (const chunk& c : log.items) {
            EXPECT_LE(c.size(), chunk_large);
            EXPECT_GT(c.size(), 0u);
            out += c.text();
        }
        return out;
    }
    // Without header and the end of the last line.
    std::string csv_line(row values, csv_options o = {}) {
        o.header = false;
        o.crlf = false;
        std::string out = written(one_row(std::move(values)), format_csv(o));
        if (!out.empty()) out.pop_back();
        return out;
    }
    // The value alone.
    std::string json(const value& v, json_options o = {}, value_type element = other, std::uint32_t oid = 0) {
        table t = one_row({v});
        t.columns[0].element = element;
        t.columns[0].database_type = oid;
        std::string out = written(std::move(t), format_ndjson(o));
        return out.size() < 8 ? out : out.substr(5, out.size() - 7);
    }
    flow_error error;
};

TEST_F(format_test, CsvQuotesOnlyWhatMustBe) {
    EXPECT_EQ(csv_line({{text, "plain"}, {text, "with space "}, {text, "a,b"}, {text, "say \"hi\""}}),
              R"(plain,with space ,"a,b","say ""hi""")");
    EXPECT_EQ(csv_line({{text, "a\nb"}, {text, "a\r"}, {text, "a;b"}, {text, "\t"}}), "\"a\nb\",\"a\r\",a;b,\t");
    EXPECT_EQ(csv_line({{text, "a,b"}, {text, "a;b"}}, {.delimiter = ';'}), "a,b;\"a;b\"");
    EXPECT_EQ(csv_line({{text, "\\."}}), "\"\\.\"");
    EXPECT_EQ(csv_line({{text, "\""}, {text, "\"\""}}), R"("""","""""")");
}

TEST_F(format_test, CsvQuotesMoreIfAsked) {
    const row values{{integer, "-1"},
                     {floating, "0.5"},
                     {numeric, "12.50"},
                     {text, "a"},
                     {},
                     {text, ""},
                     {boolean, "t"},
                     {date, "2026-02-03"},
                     {text, "7"},
                     {bytea, "\\x00ff"},
                     {timestamp, "2026-02-03 04:05:06"}};
    EXPECT_EQ(csv_line(values, {.quotes = csv_quotes::non_numeric}),
              R"(-1,0.5,12.50,"a",,"","true","2026-02-03","7","\x00ff","2026-02-03T04:05:06")");
    EXPECT_EQ(csv_line(values, {.quotes = csv_quotes::all, .null = "-"}),
              R"("-1","0.5","12.50","a",-,"","true","2026-02-03","7","\x00ff","2026-02-03T04:05:06")");
    EXPECT_EQ(written(one_row({{integer, "1"}}), format_csv({.quotes = csv_quotes::non_numeric})), "\"c\"\r\n1\r\n");
    const std::string bytes(10'000, '\xab'); // in several steps
    const std::string line = csv_line({{blob, bytes}, {integer, "1"}}, {.quotes = csv_quotes::all});
    EXPECT_EQ(line.size(), 20'002u + 2 + 4);
    EXPECT_TRUE(line.starts_with("\"\\xabab") && line.ends_with("abab\",\"1\""));
}

TEST_F(format_test, CsvDelimitersAndNullTexts) {
    for (const char c : {',', ';', '\t', '|', ' ', ':'}) EXPECT_TRUE(is_csv_delimiter(c)) << c;
    for (const char c : {'"', '\r', '\n', '\0', 'a', '0', '.', '-', '\\', '\x7f', '\xe4'})
        EXPECT_FALSE(is_csv_delimiter(c)) << c;
    EXPECT_TRUE(is_csv_null("\\N", ','));
    EXPECT_TRUE(is_csv_null(";", ','));
    EXPECT_FALSE(is_csv_null("a,b", ','));
    EXPECT_FALSE(is_csv_null("\"", ','));
    EXPECT_FALSE(is_csv_null("a\nb", ','));
    EXPECT_FALSE(is_csv_null("\xff", ','));
    EXPECT_FALSE(is_csv_null(std::string(65, 'x'), ','));
}

TEST_F(format_test, CsvTellsNoValueFromEmpty) {
    EXPECT_EQ(csv_line({{}, {text, ""}, {}}), ",\"\",");
    EXPECT_EQ(csv_line({{}, {text, ""}, {text, "NULL"}}, {.null = "NULL"}), "NULL,,\"NULL\"");
    EXPECT_EQ(csv_line({{blob, ""}, {}}, {.bytes = byte_coding::base64}), "\"\",");
    EXPECT_EQ(csv_line({{blob, std::string("\0\x10\x83", 3)}, {}}, {.null = "ABCD", .bytes = byte_coding::base64}),
              "\"ABCD\",ABCD");
}

TEST_F(format_test, CsvHeaderAndEnds) {
    table t{.columns = {{.name = "id", .type = integer}, {.name = "a \"b\", c"}}, .rows = {}};
    EXPECT_EQ(written(t, format_csv()), "id,\"a \"\"b\"\", c\"\r\n");
    EXPECT_EQ(written(t, format_csv({.header = false})), "");
    EXPECT_EQ(written(t, format_csv({.crlf = false, .bom = true})), "\xef\xbb\xbfid,\"a \"\"b\"\", c\"\n");
    t.rows = {{{integer, "1"}, {}}, {{integer, "-2"}, {text, "x"}}};
    t.rows_in_batch = 1;
    EXPECT_EQ(written(t, format_csv({.header = false})), "1,\r\n-2,x\r\n");
}

TEST_F(format_test, CsvValues) {
    const std::string digits = "-12345678901234567890123456789.000000000000000000000000000000010";
    EXPECT_EQ(csv_line({{numeric, digits}, {floating, "1e+300"}, {floating, "NaN"}}), digits + ",1e+300,NaN");
    EXPECT_EQ(csv_line({{boolean, "t"}, {boolean, "f"}}), "true,false");
    EXPECT_EQ(csv_line({{bytea, "\\x00ff"}, {blob, std::string("\0\xff", 2)}}), "\\x00ff,\\x00ff");
    EXPECT_EQ(csv_line({{bytea, "\\x00ff"}, {blob, std::string("\0\xff", 2)}}, {.bytes = byte_coding::base64}),
              "AP8=,AP8=");
    EXPECT_EQ(csv_line({{array, "{1,2}"}, {value_type::json, "{\"a\": 1}"}}), R"("{1,2}","{""a"": 1}")");
}

TEST_F(format_test, Times) {
    const auto written_as = [this](value_type t, const char* s) { return csv_line({{t, s}}); };
    EXPECT_EQ(written_as(timestamp, "2026-02-03 04:05:06"), "2026-02-03T04:05:06");
    EXPECT_EQ(written_as(timestamptz, "2026-02-03 04:05:06.789+00"), "2026-02-03T04:05:06.789Z");
    EXPECT_EQ(written_as(timestamptz, "2026-02-03 04:05:06+01"), "2026-02-03T04:05:06+01:00");
    EXPECT_EQ(written_as(timestamptz, "2026-02-03 04:05:06-08"), "2026-02-03T04:05:06-08:00");
    EXPECT_EQ(written_as(timestamptz, "2026-02-03 04:05:06+05:30"), "2026-02-03T04:05:06+05:30");
    EXPECT_EQ(written_as(timestamptz, "1880-02-03 04:05:06+05:53:28"), "1880-02-03T04:05:06+05:53:28");
    EXPECT_EQ(written_as(timestamptz, "0044-03-15 12:00:00+00 BC"), "0044-03-15T12:00:00Z BC");
    EXPECT_EQ(written_as(timestamp, "0044-03-15 12:00:00 BC"), "0044-03-15T12:00:00 BC");
    EXPECT_EQ(written_as(timestamptz, "infinity"), "infinity");
    EXPECT_EQ(written_as(timestamp, "-infinity"), "-infinity");
    EXPECT_EQ(written_as(timestamp, "10000-01-01 00:00:00"), "10000-01-01T00:00:00");
    EXPECT_EQ(written_as(timetz, "04:05:06+01"), "04:05:06+01:00");
    EXPECT_EQ(written_as(timetz, "04:05:06-00"), "04:05:06Z");
    EXPECT_EQ(written_as(time, "04:05:06.5"), "04:05:06.5");
    EXPECT_EQ(written_as(date, "2026-02-03"), "2026-02-03");
    EXPECT_EQ(written_as(text, "2026-02-03 04:05:06+01"), "2026-02-03 04:05:06+01");
    EXPECT_EQ(json({timestamptz, "2026-02-03 04:05:06+00"}), "\"2026-02-03T04:05:06Z\"");
}

TEST_F(format_test, TextThatIsNotUtf8) {
    EXPECT_EQ(csv_line({{text, "gr\xc3\xbc\xc3\x9f"}, {text, "\xf0\x9f\x98\x80"}}),
              "gr\xc3\xbc\xc3\x9f,\xf0\x9f\x98\x80");
    csv_line({{text, "gr\xfc\xdf"}});
    EXPECT_EQ(error.code, std::errc::illegal_byte_sequence);
    EXPECT_THAT(error.detail, HasSubstr("row 1, column \"c\": text that is not UTF-8, at byte 2"));
    EXPECT_EQ(json({text, "gr\xfc\xdf"}), "");
    EXPECT_EQ(error.code, std::errc::illegal_byte_sequence);

    // The examples of the Unicode standard, tables 3-8 to 3-11.
    const auto replaced = [this](const std::string& s) {
        const std::string in_csv = csv_line({{text, s}}, {.invalid = invalid_text::replaced});
        EXPECT_EQ(json({text, s}, {.invalid = invalid_text::replaced}), '"' + in_csv + '"');
        std::string out;
        for (std::size_t i = 0; i < in_csv.size(); i += in_csv.compare(i, 3, "\xef\xbf\xbd") == 0 ? 3 : 1)
            out += in_csv.compare(i, 3, "\xef\xbf\xbd") == 0 ? '?' : in_csv[i];
        return out;
    };
    EXPECT_EQ(replaced("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"), "????????A");
    EXPECT_EQ(replaced("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"), "????????A");
    EXPECT_EQ(replaced("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"), "?????A??B");
    EXPECT_EQ(replaced("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"), "????A");
    EXPECT_EQ(replaced("\xe1\x80"), "?");
}

TEST_F(format_test, JsonValues) {
    EXPECT_EQ(json({}), "null");
    EXPECT_EQ(json({boolean, "f"}), "false");
    EXPECT_EQ(json({numeric, "-12.50"}), "-12.50");
    EXPECT_EQ(json({integer, "9223372036854775807"}), "9223372036854775807");
    EXPECT_EQ(json({floating, "1e+300"}), "1e+300");
    EXPECT_EQ(json({floating, "NaN"}), "\"NaN\"");
    EXPECT_EQ(json({numeric, "-Infinity"}, {.numbers = non_finite::null}), "null");
    EXPECT_EQ(json({integer, "007"}), "\"007\""); // no number in JSON
    EXPECT_EQ(json({bytea, "\\x00ff10"}), "\"AP8Q\"");
    EXPECT_EQ(json({blob, ""}), "\"\"");
    EXPECT_EQ(json({value_type::json, "{\"a\":\r\n 1.00}"}), "{\"a\":   1.00}");
    EXPECT_EQ(json({uuid, "0190-"}), "\"0190-\"");
    json({bytea, "abc"});
    EXPECT_EQ(error.code, errc::protocol);
}

TEST_F(format_test, JsonEscapesWhatItMust) {
    EXPECT_EQ(json({text, "\"\\/\b\f\n\r\t"}), R"("\"\\/\b\f\n\r\t")");
    EXPECT_EQ(json({text, std::string("\0\x1f\x7f", 3)}), "\"\\u0000\\u001f\x7f\"");
    EXPECT_EQ(json({text, "\xe2\x80\xa8 gr\xc3\xbc"}), "\"\xe2\x80\xa8 gr\xc3\xbc\"");
    for (std::size_t at = 0; at < 40; ++at) {
        std::string s(40, 'x');
        s[at] = '"';
        std::string expected = s;
        expected.insert(at, 1, '\\');
        ASSERT_EQ(json({text, s}), '"' + expected + '"');
    }
}

TEST_F(format_test, JsonArrays) {
    EXPECT_EQ(json({array, "{}"}, {}, integer), "[]");
    EXPECT_EQ(json({array, "{1,NULL,-3}"}, {}, integer), "[1,null,-3]");
    EXPECT_EQ(json({array, "[0:1]={1.50,NaN}"}, {}, numeric), "[1.50,\"NaN\"]");
    const std::string nested = R"({{"a b",c},{"say \"hi\"","\\x"}})";
    EXPECT_EQ(json({array, nested}, {}, text), R"([["a b","c"],["say \"hi\"","\\x"]])");
    EXPECT_EQ(json({array, R"({"NULL",NULL,""})"}, {}, text), R"(["NULL",null,""])");
    EXPECT_EQ(json({array, R"({"\\x00ff",NULL})"}, {}, bytea), R"(["AP8=",null])");
    const std::string objects = R"({"{\"a\": [1, 2]}",3})";
    EXPECT_EQ(json({array, objects}, {}, value_type::json), R"([{"a": [1, 2]},3])");
    EXPECT_EQ(json({array, "{t,f}"}, {}, boolean), "[true,false]");
    EXPECT_EQ(json({array, R"({"2026-02-03 04:05:06+00"})"}, {}, timestamptz), R"(["2026-02-03T04:05:06Z"])");
    EXPECT_EQ(json({array, "{(1,1),(0,0);(2,2),(1,1)}"}, {}, other, 1020), R"x(["(1,1),(0,0)","(2,2),(1,1)"])x");
    for (const char* bad :
         {"", "{", "1", "{1", "{1,", "{1,}", "{,1}", "{\"a", "{\"a\\", "{1}{", "{1}x", "{\"a\"b}", "{{}1}"}) {
        json({array, bad}, {}, text);
        EXPECT_EQ(error.code, errc::protocol) << bad;
    }
}

TEST_F(format_test, JsonRowsAndNames) {
    table t{.columns = {{.name = "id"}, {.name = "id"}, {.name = "id_2"}, {.name = "a\"b"}, {.name = "id"}},
            .rows = {}};
    EXPECT_EQ(written(t, format_ndjson()), "");
    EXPECT_EQ(written(t, format_json_array()), "[]\n");
    t.rows.assign(2, row(5));
    t.rows_in_batch = 1;
    const std::string object = R"({"id":null,"id_3":null,"id_2":null,"a\"b":null,"id_4":null})";
    EXPECT_EQ(written(t, format_ndjson()), object + "\n" + object + "\n");
    EXPECT_EQ(written(t, format_json_array()), "[\n" + object + ",\n" + object + "\n]\n");
    EXPECT_EQ(written(table{.columns = {}, .rows = {{}, {}}}, format_ndjson()), "{}\n{}\n");
    const std::string name(1025, 'x');
    written(table{.columns = {{.name = name}}, .rows = {}}, format_ndjson());
    EXPECT_EQ(error.code, errc::limit_exceeded);
}

// Reads RFC 4180, with quoted values marked, independently of the writer.
std::vector<std::vector<std::string>> read_csv(const std::string& s, char delimiter) {
    std::vector<std::vector<std::string>> out(1);
    for (std::size_t i = 0; i < s.size();) {
        std::string v;
        if (s[i] == '"') {
            v = "q:";
            for (++i; s[i] != '"' || s[i + 1] == '"'; ++i) i += s[i] == '"', v += s[i];
            ++i;
        } else {
            while (s[i] != delimiter && s[i] != '\r') v += s[i++];
        }
        out.back().push_back(v);
        if (s[i] == '\r') {
            out.emplace_back();
            ++i;
        }
        ++i;
        if (i == s.size() && s[i - 1] == delimiter) out.back().emplace_back();
    }
    out.pop_back();
    return out;
}

std::string hostile_text(std::mt19937& random) {
    static constexpr const char* parts[] = {"\"",
                                            ",",
                                            "\r\n",
                                            "\n",
                                            "a",
                                            "\\.",
                                            "\\",
                                            "'",
                                            "\t",
                                            " ",
                                            "\xc3\xbc",
                                            "NULL",
                                            "0123456789abcdef",
                                            "\x01",
                                            "\xf0\x9f\x98\x80",
                                            "; drop table x"};
    std::string s;
    std::uint32_t n = random() % 8;
    if (random() % 50 == 0) n = 30'000; // several steps, and chunks
    while (n-- != 0) s += parts[random() % std::size(parts)];
    return s;
}

TEST_F(format_test, WhatIsHostileReadsBackTheSame) {
    std::mt19937 random(4180);
    for (const std::size_t in_batch : {1u, 3u, 1000u}) {
        table t{.columns = {{.name = "a"}, {.name = "b"}, {.name = "c"}}, .rows = {}, .rows_in_batch = in_batch};
        for (int r = 0; r < 200; ++r) {
            row values;
            for (int c = 0; c < 3; ++c)
                values.push_back(random() % 5 == 0 ? value{} : value{text, hostile_text(random)});
            t.rows.push_back(std::move(values));
        }
        const auto read = read_csv(written(t, format_csv({.header = false})), ',');
        ASSERT_EQ(read.size(), t.rows.size());
        for (std::size_t r = 0; r < read.size(); ++r) {
            ASSERT_EQ(read[r].size(), 3u) << r;
            for (std::size_t c = 0; c < 3; ++c) {
                const value& v = t.rows[r][c];
                const bool quoted = read[r][c].starts_with("q:");
                if (v.type == null) {
                    ASSERT_EQ(read[r][c], "");
                } else {
                    ASSERT_EQ(quoted ? read[r][c].substr(2) : read[r][c], v.text);
                    ASSERT_EQ(quoted, v.text.empty() || v.text == "\\." ||
                                          v.text.find_first_of(",\"\r\n") != std::string::npos);
                }
            }
        }
    }
}

TEST_F(format_test, LongValuesOfEveryKind) {
    std::string bytes, hex = "\\x", controls(200'000, '\x01'), literal = "{", expected = "[";
    for (int i = 0; i < 100'000; ++i) bytes += static_cast<char>(i * 7);
    for (const char c : bytes) {
        constexpr const char* digits = "0123456789abcdef";
        hex += {digits[static_cast<unsigned char>(c) >> 4], digits[c & 15]};
    }
    for (int i = 0; i < 5'000; ++i) {
        literal += i ? "," : "";
        literal += i % 100 == 7 ? "\"" + std::string(10'000, 'y') + "\"" : std::to_string(i);
        expected += i ? "," : "";
        expected += '"' + (i % 100 == 7 ? std::string(10'000, 'y') : std::to_string(i)) + '"';
    }
    EXPECT_EQ(csv_line({{blob, bytes}}), hex);
    EXPECT_EQ(csv_line({{bytea, hex}}), hex);
    const std::string base64 = csv_line({{blob, bytes}}, {.bytes = byte_coding::base64});
    EXPECT_EQ(base64.size(), 133'336u);
    EXPECT_EQ(json({bytea, hex}), '"' + base64 + '"');
    EXPECT_EQ(json({text, controls}).size(), 2 + 6 * controls.size());
    EXPECT_TRUE(json({array, literal + "}"}, {}, text) == expected + "]");
    EXPECT_EQ(json({numeric, std::string(131'072, '9')}), std::string(131'072, '9'));

    std::string many;
    while (many.size() < 100'000) many += "\xe2\x82\xac"; // cut between, not inside of characters
    EXPECT_TRUE(json({text, "x" + many}) == "\"x" + many + '"');
    EXPECT_TRUE(json({text, std::string(60'000, '\xff')}, {.invalid = invalid_text::replaced}).size() == 180'002u);
}

TEST_F(format_test, NeverKeepsMoreThanTwoChunks) {
    list_node watchers;
    testing::sink_log<chunk> log;
    testing::manual_source<row_batch> source;
    nursery n;
    n.spawn([](list_node* w, stream<row_batch> in, testing::sink_log<chunk>* to) -> task<> {
        std::ignore =
            co_await pipeline({.watchers = w}, std::move(in), format_ndjson(), testing::recording_sink<chunk>(*to));
    }(&watchers, source.open(), &log));
    const table t = texts({"one", "two"});
    source.push(batch_of(t, 0, column_set(t.columns)));
    ASSERT_FALSE(sim().home.turn(false));
    ASSERT_EQ(log.items.size(), 1u); // what came alone does not wait for more
    EXPECT_EQ(log.items[0].text(), "{\"t\":\"one\"}\n{\"t\":\"two\"}\n");
    const auto& live = static_cast<live_pipeline&>(*watchers.next);
    EXPECT_EQ(std::string_view(live.joints[1].name), "format_ndjson");
    EXPECT_LE(live.joints[1].held_max, 2 * chunk_large + row_batch::usual_bytes + 64);
    source.end();
    sim().advance(std::chrono::milliseconds(1));
    EXPECT_TRUE(log.finished);
}

TEST(format_options, RefuseWhatCannotBeReadBack) {
    for (const char c : {'"', '\n', '\r', 'a', '0', '-', '+', '.', '\\', '\0', '\xff'})
        EXPECT_THROW(format_csv({.delimiter = c}), std::invalid_argument) << int(c);
    for (const char* null : {"a,b", "\"", "\n", "\xff"})
        EXPECT_THROW(format_csv({.null = null}), std::invalid_argument);
    EXPECT_NO_THROW(format_csv({.delimiter = '\t', .null = "\\N"}));
}

} // namespace
} // namespace headgate
