#pragma once

#include <headgate/http/authority.hpp>
#include <headgate/http/field.hpp>

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>

// Message heads as views: what the parsers produce and the writer takes. Every std::string_view here points into the
// buffer that was parsed and lives as long as its bytes stay where they are.
namespace headgate::http {

enum class method : std::uint8_t { get, head, post, put, delete_, connect, options, trace, patch, other };

// The method with this name. Methods are case-sensitive (RFC 9110, section 9.1): "get" is `other`.
method lookup_method(std::string_view text) noexcept;

// "GET" and so on; empty for `other`. Static text.
std::string_view method_name(method m) noexcept;

// The reason phrase of a registered status (RFC 9110, section 15, and the IANA registry), or "Unknown". Static text.
std::string_view status_reason(int status) noexcept;

// One field line: the name as it was received, the value without the white space around it.
struct header {
    std::string_view name;
    std::string_view value;
    field id = field::other;
};

// The field lines of a head, in order, in place: up to `capacity` of them and no allocation.
class header_list {
public:
    static constexpr std::size_t capacity = 128;

    header_list() noexcept {} // the slots are left uninitialised on purpose: clearing 5 KiB per head would be seen

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const header* begin() const noexcept { return items_; }
    const header* end() const noexcept { return items_ + size_; }
    const header& operator[](std::size_t index) const noexcept {
        assert(index < size_);
        return items_[index];
    }

    // False, and nothing is added, when the list is full.
    bool push_back(const header& h) noexcept { return emplace_back(h.name, h.value, h.id); }
    bool emplace_back(std::string_view name, std::string_view value, field id) noexcept {
        if (size_ == capacity) return false;
        new (items_ + size_++) header{name, value, id};
        present_ |= field_bit(id);
        return true;
    }

    void clear() noexcept {
        size_ = 0;
        present_ = 0;
    }

    // Whether a line with this name is there; constant time.
    bool contains(field id) const noexcept { return (present_ & field_bit(id)) != 0; }

    // The first line with this name, or null. find(field::other) finds the first unknown one.
    const header* find(field id) const noexcept;
    const header* find(std::string_view name) const noexcept;

private:
    union {
        header items_[capacity];
    };
    std::size_t size_ = 0;
    std::uint64_t present_ = 0;
};

// How the end of the body is known (RFC 9112, section 6.3).
struct body_framing {
    enum class kind : std::uint8_t {
        none,       // there is no body: the message ends with its head
        length,     // Content-Length, which may be 0
        chunked,    // Transfer-Encoding: chunked
        until_close // responses only: until the connection is closed, so a cut cannot be seen
    };
    kind how = kind::none;
    std::uint64_t length = 0; // bytes; meaningful with kind::length only

    bool has_body() const noexcept { return how != kind::none && !(how == kind::length && length == 0); }
    bool operator==(const body_framing&) const = default;
};

// What requests and responses have in common.
struct message_head {
    header_list headers;
    std::size_t head_bytes = 0; // bytes this head took in the buffer, its empty line included; the body starts there
    body_framing framing;
    std::uint8_t minor_version = 1; // 0 or 1; a later 1.x counts as 1.1 (RFC 9110, section 2.5)

    // Whether the connection may carry another message after this one (RFC 9112, section 9.3): HTTP/1.1 without
    // "close", or HTTP/1.0 with "keep-alive"; never after a body that ends with the connection.
    bool keep_alive = false;

    // HTTP/1.1, an Upgrade field, and "upgrade" among the connection options (RFC 9110, section 7.8).
    bool upgrade = false;

    // Bit i: headers[i] is named by Connection. The fields that we know to be end-to-end (Host, Content-Length,
    // Authorization and so on) and X-Forwarded-* never are, whatever Connection says: a sender must not name them (RFC
    // 9110, section 7.6.1), and a client must not be able to have removed what a proxy in front of us has put there.
    std::array<std::uint64_t, header_list::capacity / 64> connection_named{};

    const header* find(field id) const noexcept { return headers.find(id); }
    const header* find(std::string_view name) const noexcept { return headers.find(name); }

    // The value of the first line with this name; empty if there is none.
    std::string_view value(field id) const noexcept {
        const header* found = headers.find(id);
        return found != nullptr ? found->value : std::string_view{};
    }

    // Whether headers[index] ends here: a hop-by-hop field, or one that Connection names (RFC 9110, section 7.6.1).
    bool hop_by_hop(std::size_t index) const noexcept {
        return is_hop_by_hop(headers[index].id) || ((connection_named[index / 64] >> (index % 64)) & 1) != 0;
    }
};

// The four forms of a request target (RFC 9112, section 3.2).
enum class target_form : std::uint8_t { origin, absolute, authority, asterisk };

struct request_head : message_head {
    http::method method = method::other;
    target_form form = target_form::origin;
    bool expect_continue = false; // "Expect: 100-continue" on an HTTP/1.1 request that has a body
    std::string_view method_text;
    std::string_view target; // as received

    // Path and query of the target, still encoded; the query with its '?'. Side by side they are the origin-form to
    // send on. The path is never empty: "/" for "http://host", "*" for "OPTIONS *" and "OPTIONS http://host"; empty
    // for CONNECT.
    std::string_view path;
    std::string_view query;

    std::string_view scheme; // of an absolute-form target, as received; empty otherwise

    // Who the request is for: the target's own authority if it has one, else Host (RFC 9112, section 3.2.2). Empty
    // only for HTTP/1.0 without Host.
    http::authority authority;

    void clear() noexcept;
};

struct response_head : message_head {
    int status = 0;          // 100 to 599
    std::string_view reason; // may be empty

    bool informational() const noexcept { return status < 200; }
    void clear() noexcept;
};

} // namespace headgate::http
