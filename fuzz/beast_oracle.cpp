#include <algorithm>
#include <limits>

#include <boost/beast/http/basic_parser.hpp>
#include <fuzz/oracle.hpp>

namespace headgate::fuzz {

namespace {

namespace beast = boost::beast;
using beast::error_code;
using beast::string_view;

std::string text_of(string_view s) { return {s.data(), s.size()}; }

template <bool IsRequest>
class collector final : public beast::http::basic_parser<IsRequest> {
public:
    explicit collector(bool whole_message) {
        this->header_limit(std::numeric_limits<std::uint32_t>::max());
        this->body_limit(std::numeric_limits<std::uint64_t>::max()); // "none" is taken for 0 in Boost 1.74
        this->eager(whole_message);
    }

    void read(std::string_view text) {
        error_code ec;
        while (!ec && !done() && out.bytes < text.size()) {
            const std::size_t n = this->put(boost::asio::buffer(text.data() + out.bytes, text.size() - out.bytes), ec);
            out.bytes += n;
            if (n == 0) break;
        }
        if (done()) {
            out.how = verdict::accepted;
        } else if (ec && ec != beast::http::error::need_more) {
            out.how = verdict::refused;
            out.refusal = ec.message();
        }
        out.keep_alive = done() && this->keep_alive();
    }
    void frame() {
        if (this->chunked())
            out.framing = "chunked";
        else if (!IsRequest && this->need_eof())
            out.framing = "until close";
        else if (const auto length = this->content_length())
            out.framing = "length " + std::to_string(*length);
        if (!IsRequest && this->is_done() && out.framing != "length 0") out.framing = "none";
    }

    reading out;

private:
    bool done() const { return this->eager() ? this->is_done() : this->is_header_done(); }

    void on_request_impl(beast::http::verb, string_view method, string_view target, int version, error_code&) override {
        out.method = text_of(method);
        out.target = text_of(target);
        out.minor_version = version % 10;
    }
    void on_response_impl(int status, string_view reason, int version, error_code&) override {
        out.status = status;
        out.reason = text_of(reason);
        out.minor_version = version % 10;
    }
    void on_field_impl(beast::http::field, string_view name, string_view value, error_code&) override {
        out.fields.emplace_back(text_of(name), trimmed({value.data(), value.size()}));
    }
    void on_header_impl(error_code&) override {
        if (this->eager()) out.fields.clear(); // what comes now are trailers
    }
    void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
    std::size_t on_body_impl(string_view body, error_code&) override {
        out.payload += text_of(body);
        return body.size();
    }
    void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override {
        out.payload += text_of(body);
        return body.size();
    }
    void on_finish_impl(error_code&) override {}
};

} // namespace

reading beast_request(std::string_view text) {
    // Beast leaves the empty line that may come before a request (RFC 9112, section 2.2) to its callers.
    const std::size_t blank = text.starts_with("\r\n") ? 2 : 0;
    collector<true> c(false);
    c.read(text.substr(blank));
    if (c.out.how != verdict::accepted) return std::move(c.out);
    c.out.bytes += blank;
    c.frame();
    return std::move(c.out);
}

reading beast_response(std::string_view text, bool to_head) {
    collector<false> c(false);
    c.skip(to_head);
    c.read(text);
    if (c.out.how == verdict::accepted) c.frame();
    return std::move(c.out);
}

reading beast_chunked(std::string_view text) {
    collector<true> c(true);
    c.read(std::string(chunked_request).append(text));
    return body_of(std::move(c.out));
}

} // namespace headgate::fuzz
