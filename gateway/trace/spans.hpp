#pragma once

#include <string>

#include <gateway/request.hpp>

namespace headgate::gateway {

// Appends the spans of a request that has ended, and was recorded, as the items of an array of OTLP's JSON encoding
// (opentelemetry-proto, trace/v1; ids in hex, 64-bit numbers as text): the request's own (SERVER), one of each attempt
// (CLIENT) with that of its connect, if there was one, and one of each stage of an export. Attributes are those of
// OpenTelemetry's semantic conventions for HTTP, and headgate.* of our own. Gives how many.
std::size_t append_spans(std::string& out, const request& rq);

// The same, of a connection of a tcp listener: one span (SERVER), with how it ended.
std::size_t append_tunnel_span(std::string& out, const live_flow& connection, const trace_context& c);

} // namespace headgate::gateway
