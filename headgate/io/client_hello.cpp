#include <headgate/io/client_hello.hpp>

#include <algorithm>

namespace headgate {

namespace {

using state = client_hello::state;

constexpr std::size_t record_header = 5;
constexpr std::size_t record_max = 16 * 1024;
constexpr std::size_t message_header = 4;
constexpr unsigned handshake_record = 22;
constexpr unsigned client_hello_message = 1;
constexpr unsigned server_name_extension = 0;
constexpr std::size_t name_max = 255;

// Takes numbers and vectors off the front of a message; once one does not fit, `good` is false for ever.
class reader {
public:
    explicit reader(std::string_view bytes) : bytes_(bytes) {}

    bool good() const { return good_; }
    bool empty() const { return bytes_.empty(); }
    std::string_view take(std::size_t n) {
        good_ = good_ && n <= bytes_.size();
        if (!good_) return {};
        const std::string_view front = bytes_.substr(0, n);
        bytes_.remove_prefix(n);
        return front;
    }
    std::size_t number(std::size_t size) {
        std::size_t value = 0;
        for (const char c : take(size)) value = value << 8 | static_cast<unsigned char>(c);
        return value;
    }
    // What follows a length of so many bytes.
    std::string_view vector(std::size_t size_of_length) { return take(number(size_of_length)); }

private:
    std::string_view bytes_;
    bool good_ = true;
};

client_hello malformed(const char* reason) { return {.what = state::malformed, .reason = reason}; }

bool is_name(std::string_view name) {
    return !name.empty() && name.size() <= name_max && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
               c == '.';
    });
}

// The extension's contents: a list of one name.
const char* read_server_name(std::string_view contents, std::string& name) {
    reader list(contents);
    reader entry(list.vector(2));
    const bool host = entry.number(1) == 0;
    const std::string_view text = entry.vector(2);
    if (!list.good() || !list.empty() || !entry.good() || !entry.empty() || !host)
        return "its server_name is not one host name (RFC 6066, section 3)";
    if (!is_name(text)) return "its server_name is no name of a host";
    name = text;
    return nullptr;
}

client_hello read_extensions(std::string_view extensions) {
    client_hello hello{.what = state::complete};
    bool named = false;
    for (reader all(extensions); !all.empty();) {
        const std::size_t type = all.number(2);
        const std::string_view contents = all.vector(2);
        if (!all.good()) return malformed("its extensions are cut short");
        if (type != server_name_extension) continue;
        if (named) return malformed("it has two server_name extensions (RFC 8446, section 4.2)");
        named = true;
        if (const char* wrong = read_server_name(contents, hello.server_name)) return malformed(wrong);
    }
    return hello;
}

client_hello read_message(std::string_view message) {
    reader r(message);
    const std::size_t version = r.number(2);
    r.take(32); // random
    const std::string_view session = r.vector(1);
    const std::string_view suites = r.vector(2);
    const std::string_view compressions = r.vector(1);
    if (!r.good()) return malformed("it is cut short");
    if (version >> 8 != 3 || session.size() > 32 || suites.empty() || suites.size() % 2 != 0 || compressions.empty())
        return malformed("a part of it is not as RFC 8446, section 4.1.2, says");
    if (r.empty()) return {.what = state::complete}; // of a client that knows no extensions
    const std::string_view extensions = r.vector(2);
    if (!r.good() || !r.empty()) return malformed("its extensions are cut short, or something follows them");
    return read_extensions(extensions);
}

} // namespace

client_hello read_client_hello(std::string_view bytes, std::size_t bytes_max) {
    const auto more = [bytes_max](std::size_t needed) {
        if (needed > bytes_max) return malformed("it is longer than allowed");
        return client_hello{.what = state::need_more, .needed = needed};
    };
    std::string message; // the records' contents
    for (std::size_t at = 0;;) {
        const std::string_view rest = bytes.substr(at);
        if (!rest.empty() && static_cast<unsigned char>(rest[0]) != handshake_record)
            return at == 0 ? client_hello{} : malformed("a record of another kind is in the midst of it");
        if (rest.size() >= 2 && rest[1] != 3) return at == 0 ? client_hello{} : malformed("a record has no version");
        if (rest.size() < 2) return more(at + rest.size() + 1); // the first bytes tell whether it is TLS
        if (rest.size() < record_header) return more(at + record_header);
        reader header(rest.substr(3));
        const std::size_t length = header.number(2);
        if (length == 0 || length > record_max) return malformed("a record has no contents, or too many");
        if (rest.size() < record_header + length) return more(at + record_header + length);
        message += rest.substr(record_header, length);
        at += record_header + length;
        if (at > bytes_max) return malformed("it is longer than allowed");
        if (static_cast<unsigned char>(message[0]) != client_hello_message)
            return malformed("the first message is not a ClientHello");
        if (message.size() < message_header) continue;
        reader size(std::string_view(message).substr(1));
        const std::size_t wanted = message_header + size.number(3);
        if (wanted > bytes_max) return malformed("it is longer than allowed");
        if (message.size() > wanted) return malformed("something follows it in its record");
        if (message.size() == wanted) return read_message(std::string_view(message).substr(message_header));
    }
}

} // namespace headgate
