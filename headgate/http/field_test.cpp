#include <headgate/http/field.hpp>
#include <headgate/http/message.hpp>
#include <headgate/http/scan.hpp>

#include <algorithm>
#include <cctype>
#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace headgate::http {
namespace {

std::string mapped(std::string_view text, int (*change)(int)) {
    std::string out{text};
    std::ranges::transform(out, out.begin(), [change](char c) { return static_cast<char>(change(c)); });
    return out;
}

TEST(Field, EveryKnownNameIsFoundInAnyCase) {
    for (std::size_t i = 1; i < field_count; ++i) {
        const auto id = static_cast<field>(i);
        const std::string name{field_name(id)};
        EXPECT_EQ(lookup_field(name), id) << name;
        EXPECT_EQ(lookup_field(mapped(name, std::tolower)), id) << name;
        EXPECT_EQ(lookup_field(mapped(name, std::toupper)), id) << name;
        const std::string longer = name + ": and what follows the name in a buffer";
        EXPECT_EQ(lookup_field(std::string_view{longer}.substr(0, name.size()), longer.size()), id) << name;
    }
}

TEST(Field, AnyByteChangedIsAnotherName) {
    for (std::size_t i = 1; i < field_count; ++i) {
        const std::string name{field_name(static_cast<field>(i))};
        for (std::size_t at = 0; at < name.size(); ++at) {
            for (int c = 0; c < 256; ++c) {
                std::string other = name;
                other[at] = static_cast<char>(c);
                const bool same = mapped(other, std::tolower) == mapped(name, std::tolower);
                other.resize(40, '~');
                const field found = lookup_field(std::string_view{other}.substr(0, name.size()), other.size());
                ASSERT_EQ(found == static_cast<field>(i), same) << name << " with byte " << c << " at " << at;
            }
        }
    }
}

TEST(Field, UnknownNames) {
    for (const std::string_view name : {"", "H", "Hos", "Hosts", "X-Api-Key", "Content_Length", "Content-Lengt",
                                        "Transfer\rEncoding", "A-Name-Longer-Than-Any-Name-The-Gateway-Knows-Of"})
        EXPECT_EQ(lookup_field(name), field::other) << name;
}

TEST(Field, HopByHop) { // RFC 9110, section 7.6.1
    for (const field id :
         {field::connection, field::keep_alive, field::proxy_connection, field::te, field::transfer_encoding,
          field::upgrade, field::proxy_authenticate, field::proxy_authorization})
        EXPECT_TRUE(is_hop_by_hop(id)) << field_name(id);
    for (const field id : {field::other, field::host, field::content_length, field::trailer, field::via, field::cookie})
        EXPECT_FALSE(is_hop_by_hop(id)) << field_name(id);
}

TEST(Field, ForbiddenInTrailers) { // RFC 9110, section 6.5.1
    for (const field id :
         {field::transfer_encoding, field::content_length, field::host, field::cache_control, field::expect,
          field::max_forwards, field::pragma, field::range, field::te, field::authorization, field::set_cookie,
          field::content_encoding, field::content_type, field::content_range, field::trailer, field::x_forwarded_for})
        EXPECT_TRUE(is_forbidden_in_trailer(id)) << field_name(id);
    for (const field id : {field::other, field::etag, field::server, field::last_modified})
        EXPECT_FALSE(is_forbidden_in_trailer(id)) << field_name(id);
    for (const std::string_view name : {"Forwarded", "x-forwarded-for", "X-FORWARDED-PREFIX", "X-Forwarded-",
                                        "x-client-certificate-subject", "X-Client-Certificate-Subject"})
        EXPECT_TRUE(is_forbidden_in_trailer(name)) << name;
    for (const std::string_view name : {"", "X-Forwarded", "X-Checksum", "X-Client-Certificate", "ETag"})
        EXPECT_FALSE(is_forbidden_in_trailer(name)) << name;
}

TEST(Scan, FindControlAgreesWithTheTableAtEveryPositionAndByte) {
    for (std::size_t size = 0; size < 40; ++size) {
        const auto text = std::make_unique<char[]>(size); // exact, so that a read too far is seen
        std::fill_n(text.get(), size, 'a');
        ASSERT_EQ(detail::find_control(text.get(), text.get() + size), text.get() + size);
        for (std::size_t at = 0; at < size; ++at) {
            for (int c = 0; c < 256; ++c) {
                text[at] = static_cast<char>(c);
                const bool control = (c < 0x20 && c != '\t') || c == 0x7f;
                ASSERT_EQ(detail::find_control(text.get(), text.get() + size), text.get() + (control ? at : size)) << c;
            }
            text[at] = 'a';
            text[at] = ':';
            ASSERT_EQ(detail::find_colon(text.get(), text.get() + size), text.get() + at);
            text[at] = 'a';
        }
    }
}

TEST(Message, Methods) { // RFC 9110, section 9.1: case-sensitive
    for (int i = 0; i < static_cast<int>(method::other); ++i) {
        const auto m = static_cast<method>(i);
        EXPECT_EQ(lookup_method(method_name(m)), m);
        EXPECT_EQ(lookup_method(mapped(method_name(m), std::tolower)), method::other);
    }
    EXPECT_EQ(lookup_method("PURGE"), method::other);
    EXPECT_EQ(lookup_method(""), method::other);
}

TEST(Message, StatusReasons) {
    EXPECT_EQ(status_reason(200), "OK");
    EXPECT_EQ(status_reason(431), "Request Header Fields Too Large");
    EXPECT_EQ(status_reason(299), "Unknown");
}

TEST(Message, HeaderListIsBounded) {
    header_list list;
    for (std::size_t i = 0; i < header_list::capacity; ++i) ASSERT_TRUE(list.push_back({"a", "b", field::other}));
    EXPECT_FALSE(list.push_back({"Host", "x", field::host}));
    EXPECT_EQ(list.size(), header_list::capacity);
    EXPECT_FALSE(list.contains(field::host));
    list.clear();
    EXPECT_TRUE(list.empty());
    EXPECT_EQ(list.find("a"), nullptr);
}

TEST(Message, HeaderListFindsByNameAndField) {
    header_list list;
    list.push_back({"x-key", "1", field::other});
    list.push_back({"host", "h", field::host});
    list.push_back({"X-KEY", "2", field::other});
    EXPECT_EQ(list.find("X-Key"), &list[0]);
    EXPECT_EQ(list.find("HOST"), &list[1]);
    EXPECT_EQ(list.find(field::host), &list[1]);
    EXPECT_EQ(list.find(field::via), nullptr);
    EXPECT_EQ(list.find("x-kez"), nullptr);
}

} // namespace
} // namespace headgate::http
