#include <headgate/db/query.hpp>

#include <gmock/gmock.h>

namespace headgate::db {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string numbered(std::string sql, dialect d = dialect::postgres) {
    const auto q = query::parse(std::move(sql), d);
    return q ? q->numbered() : "refused: " + q.error().message + " at " + std::to_string(q.error().offset);
}

TEST(query, NumbersItsParameters) {
    const auto q = query::parse("select :a, :b_2 + :a where x=:C and(:d)");
    ASSERT_TRUE(q);
    EXPECT_EQ(q->numbered(), "select $1, $2 + $1 where x=$3 and($4)");
    EXPECT_EQ(q->sql(), "select :a, :b_2 + :a where x=:C and(:d)");
    EXPECT_THAT(q->names(), ElementsAre("a", "b_2", "C", "d"));
    EXPECT_EQ(q->parameters(), 4u);
    EXPECT_EQ(q->positions(), 0u);
}

TEST(query, AStatementWithoutParametersIsAsItWas) {
    const auto q = query::parse("select 1");
    ASSERT_TRUE(q);
    EXPECT_EQ(q->numbered(), "select 1");
    EXPECT_THAT(q->names(), IsEmpty());
    EXPECT_EQ(query().sql(), "");
}

TEST(query, KnowsWhatIsNoParameter) {
    for (const char* sql : {
             "select a::int, b :: text, '::', x::numeric(10,2)", "select ':a', 'it'':a', '\\'",
             "select E'\\':a', e'\\\\', E'a'':b\\'' || ''", "select U&':a', B'01', N':a', date':a'",
             "select \":a\", \"x\"\":a\"", "select $$ :a ' $$, $tag$ :a $$ $ta$ :b $tag$", "select 1 -- :a '",
             "select 1 /* :a /* :b */ :c ' */ + 2", "select f(a := 1)",
             "select a[1:n], a[b:c], a[f(1):n], a[x[1]:n], a[\"x\":n]", "select a ?| array['x'] from t where c @> '{}'",
             "select a$1:b", // nobody's SQL, but nobody's parameter either
         })
        EXPECT_EQ(numbered(sql), sql);
}

TEST(query, FindsParametersBesideAllThat) {
    EXPECT_EQ(numbered("select :a::int, ':x'||:b"), "select $1::int, ':x'||$2");
    EXPECT_EQ(numbered("select somee':a', :b"), "select somee':a', $1"); // not an E string
    EXPECT_EQ(numbered("select 'a\\', :b"), "select 'a\\', $1");
    EXPECT_EQ(numbered("select E'\\'', :b"), "select E'\\'', $1");
    EXPECT_EQ(numbered("select $a$ $b$ $a$, :b"), "select $a$ $b$ $a$, $1");
    EXPECT_EQ(numbered("select a[:n], a[1: :n], array[:x,:y]"), "select a[$1], a[1: $1], array[$2,$3]");
    EXPECT_EQ(numbered("select 1 --x\n+:a/**/-:b"), "select 1 --x\n+$1/**/-$2");
    EXPECT_EQ(numbered("select \":x\".c = :x"), "select \":x\".c = $1");
    EXPECT_EQ(numbered("select :größe"), "select $1");
}

TEST(query, KnowsSqlitesOwn) {
    const auto lite = dialect::sqlite;
    EXPECT_EQ(numbered("select [:a], `:b`, \":c\", ':d', :e", lite), "select [:a], `:b`, \":c\", ':d', $1");
    EXPECT_EQ(numbered("select /* /* */ :a", lite), "select /* /* */ $1"); // they do not nest
    EXPECT_EQ(numbered("select e'\\', :a", lite), "select e'\\', $1");     // no escapes
    EXPECT_EQ(numbered("select @a", lite), "refused: a parameter is written :name at 7");
    EXPECT_EQ(numbered("select $a", lite), "refused: a parameter is written :name at 7");
    EXPECT_EQ(query::parse("select ?, ?", lite)->positions(), 2u);
    EXPECT_EQ(query::parse("select ?3, ?", lite)->positions(), 4u);
    EXPECT_EQ(numbered("select [a", lite), "refused: unterminated quoted name at 7");
}

TEST(query, PositionalParametersStay) {
    const auto q = query::parse("select $2, $1, $2");
    ASSERT_TRUE(q);
    EXPECT_EQ(q->numbered(), "select $2, $1, $2");
    EXPECT_EQ(q->positions(), 2u);
    EXPECT_EQ(numbered("select $1, :a"), "refused: parameters with names and with numbers in one query at 11");
    EXPECT_EQ(numbered("select $0"), "refused: there is no such parameter at 7");
    EXPECT_EQ(numbered("select $99999999999999999999"), "refused: there is no such parameter at 7");
}

TEST(query, IsOneStatement) {
    const auto q = query::parse("select 1 ; -- done\n ; /* really */ ");
    ASSERT_TRUE(q);
    EXPECT_EQ(q->sql(), "select 1 ");
    EXPECT_EQ(q->numbered(), "select 1 ");
    EXPECT_EQ(numbered("select ';'"), "select ';'");
    EXPECT_EQ(numbered("select 1; drop table t"), "refused: more than one statement at 10");
    EXPECT_EQ(numbered(""), "refused: no statement at 0");
    EXPECT_EQ(numbered(" -- nothing\n;"), "refused: no statement at 0");
}

TEST(query, RefusesWhatDoesNotEnd) {
    EXPECT_EQ(numbered("select 'a"), "refused: unterminated string at 7");
    EXPECT_EQ(numbered("select 'a''"), "refused: unterminated string at 7");
    EXPECT_EQ(numbered("select E'a\\'"), "refused: unterminated string at 7");
    EXPECT_EQ(numbered("select E'a\\"), "refused: unterminated string at 7");
    EXPECT_EQ(numbered("select \"a"), "refused: unterminated quoted name at 7");
    EXPECT_EQ(numbered("select $x$ $y$"), "refused: unterminated string at 7");
    EXPECT_EQ(numbered("select 1 /* /* */"), "refused: unterminated comment at 9");
    EXPECT_EQ(numbered("select 1 /*/"), "refused: unterminated comment at 9");
    EXPECT_EQ(numbered(std::string("select 1\0", 9)), "refused: a zero byte at 8");
    EXPECT_EQ(numbered(std::string("select '\0'", 10)), "refused: a zero byte at 7");
}

TEST(query, IsBounded) {
    std::string many = "select 0";
    for (int i = 0; i <= 1000; ++i) many += ",:p" + std::to_string(i);
    EXPECT_EQ(query::parse(many).error().message, "more than 1000 parameters");
    EXPECT_EQ(query::parse(std::string(query::bytes_max + 1, ' ')).error().message, "longer than 1 MiB");
}

TEST(query, BindsByName) {
    const auto q = query::parse("select :b, :a, :b");
    ASSERT_TRUE(q);
    const auto bound = q->bind({{.name = "a", .type = value_type::integer, .text = "1"}, {.name = "b", .text = "x"}});
    ASSERT_TRUE(bound);
    ASSERT_EQ(bound->size(), 2u);
    EXPECT_EQ(bound->at(0).text, "x");
    EXPECT_EQ(bound->at(1).text, "1");
    EXPECT_EQ(bound->at(1).type, value_type::integer);

    EXPECT_EQ(q->bind({{.name = "a"}}).error().message, "no value for parameter b");
    EXPECT_EQ(q->bind({{.name = "a"}, {.name = "a"}}).error().message, "two values for parameter a");
    EXPECT_EQ(q->bind({{.name = "a"}, {.name = "b"}, {.name = "c"}}).error().message, "the query has no parameter c");
    EXPECT_EQ(q->bind({{.name = "a"}, {.name = "b"}, {.text = "1"}}).error().message,
              "the query takes 2 values, not 3");
    EXPECT_EQ(q->bind({{.name = "a", .text = std::string(1, '\0')}, {.name = "b"}}).error().message,
              "a zero byte in parameter a");
}

TEST(query, BindsByPosition) {
    const auto q = query::parse("select $1, $2");
    ASSERT_TRUE(q);
    const auto bound = q->bind({{.text = "first"}, {.type = value_type::null}});
    ASSERT_TRUE(bound);
    EXPECT_EQ(bound->at(0).text, "first");
    EXPECT_EQ(bound->at(1).type, value_type::null);
    EXPECT_EQ(q->bind({{.text = "one"}}).error().message, "the query takes 2 values, not 1");
    EXPECT_EQ(q->bind({{.name = "a"}}).error().message, "the query has no parameter a");
    EXPECT_TRUE(query::parse("select 1")->bind({}));
}

} // namespace
} // namespace headgate::db
