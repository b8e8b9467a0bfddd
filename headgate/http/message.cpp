#include <headgate/http/message.hpp>
#include <headgate/http/scan.hpp>

#include <algorithm>

namespace headgate::http {
namespace {

constexpr std::array<std::string_view, 10> methods = {"GET",     "HEAD",    "POST",  "PUT",   "DELETE",
                                                      "CONNECT", "OPTIONS", "TRACE", "PATCH", ""};

void clear_common(message_head& head) noexcept {
    head.headers.clear();
    head.head_bytes = 0;
    head.framing = {};
    head.minor_version = 1;
    head.keep_alive = false;
    head.upgrade = false;
    head.connection_named = {};
}

} // namespace

method lookup_method(std::string_view text) noexcept {
    switch (text.size()) {
    case 3: return text == "GET" ? method::get : text == "PUT" ? method::put : method::other;
    case 4: return text == "POST" ? method::post : text == "HEAD" ? method::head : method::other;
    case 5: return text == "PATCH" ? method::patch : text == "TRACE" ? method::trace : method::other;
    case 6: return text == "DELETE" ? method::delete_ : method::other;
    case 7: return text == "OPTIONS" ? method::options : text == "CONNECT" ? method::connect : method::other;
    default: return method::other;
    }
}

std::string_view method_name(method m) noexcept { return methods[static_cast<std::size_t>(m)]; }

std::string_view status_reason(int status) noexcept {
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 102: return "Processing";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 208: return "Already Reported";
    case 226: return "IM Used";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 423: return "Locked";
    case 424: return "Failed Dependency";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 506: return "Variant Also Negotiates";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    case 511: return "Network Authentication Required";
    default: return "Unknown";
    }
}

const header* header_list::find(field id) const noexcept {
    if (!contains(id)) return nullptr;
    return std::find_if(begin(), end(), [id](const header& h) { return h.id == id; });
}

const header* header_list::find(std::string_view name) const noexcept {
    if (const field id = lookup_field(name); id != field::other) return find(id);
    for (const header& h : *this) {
        if (h.id == field::other && h.name.size() == name.size() &&
            std::equal(name.begin(), name.end(), h.name.begin(),
                       [](char a, char b) { return detail::lower(a) == detail::lower(b); }))
            return &h;
    }
    return nullptr;
}

void request_head::clear() noexcept {
    clear_common(*this);
    method = method::other;
    form = target_form::origin;
    expect_continue = false;
    method_text = target = path = query = scheme = {};
    authority = {};
}

void response_head::clear() noexcept {
    clear_common(*this);
    status = 0;
    reason = {};
}

} // namespace headgate::http
