#pragma once

#include <string>
#include <string_view>

namespace headgate::gateway {

// What a text in a configuration must be.
struct text_format {
    std::string_view what;    // for messages and the reference: "a path"
    std::string_view example; // of one that is right
    std::string_view pattern; // a regular expression for the JSON Schema, no stricter than `check`; empty for any
    // Whether it is that; may put it into its usual form. Null for any text.
    bool (*check)(std::string& text);
    bool or_number = false; // whether one may be what YAML takes for a number
};

namespace formats {

extern const text_format any;
extern const text_format name;          // of a listener, a route or an upstream
extern const text_format listen;        // address::parse
extern const text_format endpoint;      // host:port
extern const text_format route_host;    // a host, or a wildcard
extern const text_format host_name;     // a host alone
extern const text_format host;          // a host, with or without a port
extern const text_format path;          // of a request; begins with a slash
extern const text_format new_prefix;    // a path, or nothing
extern const text_format method;        // in upper case
extern const text_format header_name;   // a token
extern const text_format edited_header; // a field that may be changed: not one of framing or of the connection
extern const text_format header_value;  // no controls
extern const text_format parameter;     // of a query; not empty
extern const text_format file;          // a path in the file system; not empty
extern const text_format alpn;          // a protocol's name in TLS
extern const text_format protocol;      // a token; in lower case afterwards
extern const text_format network;       // of network_set
extern const text_format origin;        // is_origin_pattern; in lower case afterwards
extern const text_format file_name;     // without a folder
extern const text_format extension;     // of a file's name, without its dot; in lower case afterwards
extern const text_format algorithm;     // a content coding that we compress with
extern const text_format media_type;    // or all of a kind; in lower case afterwards
extern const text_format coding;        // a content coding for which files have an extension
extern const text_format export_format; // its name
extern const text_format csv_delimiter; // one character, or "tab"
extern const text_format csv_null;      // how no value is written
extern const text_format regex;         // not empty; whether RE2 takes it is for check_config
extern const text_format statuses;      // a status_range
extern const text_format retry_condition;
extern const text_format srv_name;
extern const text_format nameserver;
extern const text_format collector; // of parse_http_url, or nothing
extern const text_format share;     // a ratio

} // namespace formats

} // namespace headgate::gateway
