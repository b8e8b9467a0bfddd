#include <llhttp.h>

#include <fuzz/oracle.hpp>

namespace headgate::fuzz {

namespace {

enum class extent : std::uint8_t { head, body };

// llhttp calls back with pieces; this puts them together.
class collector {
public:
    collector(llhttp_type_t type, extent e) : extent_(e) {
        llhttp_settings_init(&settings_);
        settings_.on_method = [](llhttp_t* p, const char* at, std::size_t n) { return add(of(p).out.method, at, n); };
        settings_.on_url = [](llhttp_t* p, const char* at, std::size_t n) { return add(of(p).out.target, at, n); };
        settings_.on_status = [](llhttp_t* p, const char* at, std::size_t n) { return add(of(p).out.reason, at, n); };
        settings_.on_header_field = [](llhttp_t* p, const char* at, std::size_t n) { return of(p).name(at, n); };
        settings_.on_header_field_complete = [](llhttp_t* p) { return of(p).naming_ = false, 0; };
        settings_.on_header_value = [](llhttp_t* p, const char* at, std::size_t n) {
            return add(of(p).out.fields.back().second, at, n);
        };
        settings_.on_headers_complete = [](llhttp_t* p) { return of(p).head_complete(); };
        settings_.on_body = [](llhttp_t* p, const char* at, std::size_t n) { return add(of(p).out.payload, at, n); };
        settings_.on_message_complete = [](llhttp_t* p) {
            of(p).out.how = verdict::accepted;
            return int{HPE_PAUSED};
        };
        llhttp_init(&parser_, type, &settings_);
        parser_.data = this;
    }
    collector(const collector&) = delete;
    collector& operator=(const collector&) = delete;

    void read(std::string_view text) {
        const llhttp_errno_t e = llhttp_execute(&parser_, text.data(), text.size());
        if (out.how == verdict::accepted) {
            out.bytes = static_cast<std::size_t>(llhttp_get_error_pos(&parser_) - text.data());
        } else if (e != HPE_OK) {
            out.how = verdict::refused;
            out.refusal = llhttp_get_error_reason(&parser_);
        }
        for (auto& f : out.fields) f.second = trimmed(f.second);
    }

    // As llhttp decides it right after the head (http.c, llhttp__after_headers_complete).
    void frame(bool to_head) {
        if (to_head) parser_.flags |= F_SKIPBODY; // what a user's callback says by returning 1
        const bool request = parser_.type == HTTP_REQUEST;
        const auto flagged = [this](int flag) { return (parser_.flags & flag) != 0; };
        if (flagged(F_SKIPBODY)) {
        } else if (flagged(F_CHUNKED)) {
            out.framing = "chunked";
        } else if (flagged(F_TRANSFER_ENCODING)) {
            out.framing = "until close";
            if (request) out.how = verdict::refused;
            if (request) out.refusal = "Request has invalid `Transfer-Encoding`";
        } else if (flagged(F_CONTENT_LENGTH)) {
            out.framing = "length " + std::to_string(parser_.content_length);
        } else if (llhttp_message_needs_eof(&parser_) != 0) {
            out.framing = "until close";
        }
        out.keep_alive = llhttp_should_keep_alive(&parser_) != 0;
        out.minor_version = llhttp_get_http_minor(&parser_);
        if (!request) out.status = llhttp_get_status_code(&parser_);
    }

    reading out;

private:
    static collector& of(llhttp_t* p) { return *static_cast<collector*>(p->data); }
    static int add(std::string& to, const char* at, std::size_t n) { return to.append(at, n), 0; }
    int name(const char* at, std::size_t n) {
        if (!naming_) out.fields.emplace_back();
        naming_ = true;
        return add(out.fields.back().first, at, n);
    }
    int head_complete() {
        if (extent_ == extent::body) return out.fields.clear(), 0;
        out.how = verdict::accepted;
        return HPE_PAUSED;
    }

    llhttp_t parser_{};
    llhttp_settings_t settings_{};
    extent extent_;
    bool naming_ = false;
};

} // namespace

reading llhttp_request(std::string_view text) {
    collector c(HTTP_REQUEST, extent::head);
    c.read(text);
    if (c.out.how == verdict::accepted) c.frame(false);
    return std::move(c.out);
}

reading llhttp_response(std::string_view text, bool to_head) {
    collector c(HTTP_RESPONSE, extent::head);
    c.read(text);
    if (c.out.how == verdict::accepted) c.frame(to_head);
    return std::move(c.out);
}

reading llhttp_chunked(std::string_view text) {
    collector c(HTTP_REQUEST, extent::body);
    c.read(std::string(chunked_request).append(text));
    return body_of(std::move(c.out));
}

} // namespace headgate::fuzz
