#include <headgate/http/authority.hpp>
#include <headgate/http/field.hpp>
#include <headgate/http/token.hpp>
#include <headgate/io/address.hpp>
#include <headgate/io/networks.hpp>
#include <headgate/stages/csv.hpp>

#include <algorithm>

#include <gateway/config/formats.hpp>
#include <gateway/export/formats.hpp>
#include <gateway/policy/cors.hpp>
#include <gateway/route_table.hpp>
#include <gateway/units.hpp>

namespace headgate::gateway::formats {

namespace {

constexpr std::size_t name_max = 100;

bool is_name(std::string& text) {
    return !text.empty() && text.size() <= name_max && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
               c == '.';
    });
}

bool is_listen(std::string& text) { return address::parse(text).has_value(); }
bool is_endpoint(std::string& text) { return parse_endpoint(text).has_value(); }

bool is_network(std::string& text) { return network_set::is_network(text); }
bool is_origin(std::string& text) {
    text = http::lower_case(text);
    return is_origin_pattern(text);
}
bool is_share(std::string& text) { return parse_ratio(text).has_value(); }
bool is_collector(std::string& text) {
    constexpr std::string_view with_tls = "https://";
    const bool tls = text.starts_with(with_tls);
    return text.empty() || parse_http_url(tls ? "http://" + text.substr(with_tls.size()) : text).has_value();
}
bool is_statuses(std::string& text) { return parse_status_range(text).has_value(); }

bool is_retry_condition(std::string& text) {
    retry_conditions any;
    return add_retry_condition(any, text);
}

bool is_srv_name(std::string& text) {
    return text.starts_with('_') && text.contains("._") && text.find('.', text.find("._") + 1) != std::string::npos &&
           is_route_host(text.substr(text.find('.', text.find("._") + 1) + 1));
}

// An address with a port, and not all addresses.
bool is_nameserver(std::string& text) {
    return !text.starts_with(':') && !text.starts_with("unix:") && address::parse(text).has_value();
}

bool is_host_to_match(std::string& text) {
    text = http::lower_case(text);
    return is_route_host(text);
}

bool is_host_name(std::string& text) { return !text.starts_with('*') && is_route_host(text); }
bool is_host(std::string& text) { return http::parse_authority(text).has_value(); }

bool is_path(std::string& text) { return text.starts_with('/') && http::detail::all(http::detail::path_byte, text); }
bool is_new_prefix(std::string& text) { return text.empty() || is_path(text); }

// Methods are case-sensitive (RFC 9110, section 9.1), and no method in use has a small letter.
bool is_method(std::string& text) {
    return http::is_token(text) && std::ranges::none_of(text, [](char c) { return c >= 'a' && c <= 'z'; });
}

bool is_header_name(std::string& text) { return http::is_token(text); }

bool is_edited_header(std::string& text) {
    const http::field id = http::lookup_field(http::lower_case(text));
    return http::is_token(text) && !http::is_hop_by_hop(id) && id != http::field::content_length &&
           id != http::field::host;
}

// What the parser takes for a value (RFC 9110, section 5.5), without white space around it.
bool is_header_value(std::string& text) {
    return http::detail::all(http::detail::value_byte, text) && http::detail::trim(text).size() == text.size();
}

bool is_not_empty(std::string& text) { return !text.empty(); }

bool is_file_name(std::string& text) {
    return !text.empty() && text.find_first_of(std::string_view("/\0", 2)) == std::string::npos && text != "." &&
           text != "..";
}

bool is_extension(std::string& text) {
    text = http::lower_case(text);
    return is_file_name(text) && text.find('.') == std::string::npos;
}

bool is_algorithm(std::string& text) { return text == "zstd" || text == "gzip"; }

bool is_media_type(std::string& text) {
    text = http::lower_case(text);
    const std::size_t slash = text.find('/');
    if (slash == std::string::npos) return false;
    const std::string_view kind = std::string_view(text).substr(0, slash);
    const std::string_view sub = std::string_view(text).substr(slash + 1);
    return kind != "*" && http::is_token(kind) && http::is_token(sub) && (sub == "*" || !sub.contains('*'));
}

bool is_export_format(std::string& text) { return text == "csv" || text == "ndjson" || text == "json"; }
bool is_csv_delimiter_name(std::string& text) { return gateway::csv_delimiter(text).has_value(); }
// The delimiter, which it must not have in it either, is checked where that is known.
bool is_csv_null_text(std::string& text) { return is_csv_null(text, '"'); }
bool is_coding(std::string& text) { return text == "zstd" || text == "gzip" || text == "br"; }

bool is_protocol(std::string& text) {
    text = http::lower_case(text);
    return http::is_token(text);
}

} // namespace

const text_format any{"a text", "text", "", nullptr};
const text_format name{"a name of letters, digits, '-', '_' and '.', at most 100", "web", "^[-_.A-Za-z0-9]{1,100}$",
                       &is_name};
const text_format listen{"an address: address:port, [v6]:port, :port or unix:/path", ":8080", "^(.*:[0-9]+|unix:.+)$",
                         &is_listen};
const text_format endpoint{"host:port", "127.0.0.1:9001", "^.+:[0-9]+$", &is_endpoint};
const text_format route_host{"a host without scheme or port, or *. and a host", "api.example.org", "^[^/ ]+$",
                             &is_host_to_match};
const text_format host_name{"a host without scheme or port", "www.example.org", "^[^/ *]+$", &is_host_name};
const text_format host{"a host, or host:port", "api.example.org", "^[^/ ]+$", &is_host};
const text_format path{"a path, which begins with a slash and has no query", "/api/", "^/[^?# ]*$", &is_path};
const text_format new_prefix{"a path, which begins with a slash, or nothing", "/v2/", "^(/[^?# ]*)?$", &is_new_prefix};
const text_format method{"a method, in upper case", "GET", "^[^a-z ]+$", &is_method};
const text_format header_name{"the name of a header field", "X-Version", "^[^ :]+$", &is_header_name};
const text_format edited_header{
    "the name of a header field that may be changed (not of framing, the connection or Host)", "X-Version", "^[^ :]+$",
    &is_edited_header};
const text_format header_value{"the value of a header field: no control characters, no space around it", "canary", "",
                               &is_header_value};
const text_format parameter{"the name of a parameter of the query", "version", ".", &is_not_empty};
const text_format file{"a file", "/etc/headgate/ca.pem", ".", &is_not_empty};
const text_format alpn{"the name of a protocol in TLS", "http/1.1", ".", &is_not_empty};
const text_format protocol{"the name of a protocol", "websocket", "^[^ ,]+$", &is_protocol};
const text_format network{"an address, a network such as 10.0.0.0/8 (without bits beyond the prefix), or unix",
                          "10.0.0.0/8", "^([0-9a-fA-F.:]+(/[0-9]+)?|unix)$", &is_network};
const text_format origin{"an origin such as https://example.org, https://*.example.org, or *",
                         "https://www.example.org", "^([A-Za-z]+://[^/ ]+|[*])$", &is_origin};
const text_format file_name{"the name of a file, without a folder", "index.html", "^[^/]+$", &is_file_name};
const text_format extension{"what follows the last dot of a file's name", "webmanifest", "^[^/.]+$", &is_extension};
const text_format algorithm{"zstd or gzip", "gzip", "^(zstd|gzip)$", &is_algorithm};
const text_format media_type{"a media type without parameters, or all of a kind: text/*", "text/*", "^[^/ ;]+/[^/ ;]+$",
                             &is_media_type};
const text_format coding{"zstd, gzip or br", "gzip", "^(zstd|gzip|br)$", &is_coding};
const text_format export_format{"csv, ndjson or json", "csv", "^(csv|ndjson|json)$", &is_export_format};
const text_format csv_delimiter{
    "'tab' or one ASCII character that can stand between values: no quote, end of a line, letter, digit, nor any of "
    "+-./=\\",
    ";", "^(tab|[^\"a-zA-Z0-9+./=\\\\-])$", &is_csv_delimiter_name};
const text_format csv_null{"a text of at most 64 bytes without quotes and ends of lines", "NULL", "^[^\"\\r\\n]*$",
                           &is_csv_null_text};
const text_format regex{"a regular expression", "[a-z]{2}-[0-9]+", ".", &is_not_empty};
const text_format statuses{"statuses from 200 to 599: a range, or one", "200-299", "^[0-9]{3}(-[0-9]{3})?$",
                           &is_statuses, true};
const text_format srv_name{"the name of an SRV record", "_http._tcp.example.org", "^_[^.]+\\._[^.]+\\..+$",
                           &is_srv_name};
const text_format share{"a number from 0 to 1", "0.05", "^[0-9.]+$", &is_share, true};
const text_format collector{"http://host:port, https://host:port, or nothing", "http://127.0.0.1:4318",
                            "^(https?://.+)?$", &is_collector};
const text_format nameserver{"address:port", "127.0.0.1:53", "^.+:[0-9]+$", &is_nameserver};
const text_format retry_condition{
    "connect_failure, reset, timeout, gateway_error, 5xx, a status from 400 to 599, or a range of them", "reset",
    "^(connect_failure|reset|timeout|gateway_error|5xx|[45][0-9]{2}(-[45][0-9]{2})?)$", &is_retry_condition, true};

} // namespace headgate::gateway::formats
