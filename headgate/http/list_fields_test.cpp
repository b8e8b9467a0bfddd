#include <headgate/http/list_fields.hpp>

#include <string>

#include <gtest/gtest.h>

namespace headgate::http {
namespace {

std::string joined(const header_list& from, field id) {
    std::string out;
    for (const std::string_view e : elements(from, id)) (out += e) += '|';
    return out;
}

TEST(list_fields_test, AllFieldsOfANameAreOneList) {
    header_list h;
    h.emplace_back("Vary", "a ,\tb", field::vary);
    h.emplace_back("TE", "trailers", field::te);
    h.emplace_back("Vary", "", field::vary);
    h.emplace_back("vary", ",c", field::vary);
    EXPECT_EQ(joined(h, field::vary), "a|b||c|");
    EXPECT_EQ(joined(h, field::te), "trailers|");
    EXPECT_EQ(joined(h, field::accept), "");
    EXPECT_TRUE(lists(h, field::vary, "C"));
    EXPECT_FALSE(lists(h, field::vary, "trailers"));
    EXPECT_FALSE(lists(h, field::te, "trailer"));
}

TEST(list_fields_test, AWeightIsTakenOffItsElement) {
    const auto read = [](std::string_view text) {
        const weighted w = read_weighted(text);
        return std::string(w.name) + ' ' + std::to_string(w.weight);
    };
    EXPECT_EQ(read("gzip"), "gzip 1000");
    EXPECT_EQ(read("gzip ; Q=0.5"), "gzip 500");
    EXPECT_EQ(read("text/csv;header=absent;q=0.125"), "text/csv;header=absent 125");
    EXPECT_EQ(read("text/csv;q=0.3 ;level=1"), "text/csv 300");
    EXPECT_EQ(read("gzip;level=1"), "gzip;level=1 1000");
    for (const char* wrong : {"2", "1.001", "0.1234", "", "x", "0,5"})
        EXPECT_EQ(read(std::string("gzip;q=") + wrong), "gzip 0") << wrong;
}

} // namespace
} // namespace headgate::http
