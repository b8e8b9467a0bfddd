#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <netinet/in.h>

// What the load program can be. All are single-threaded. The clients print one line of JSON when they end, and count
// only what was completed; any protocol error ends the program with status 1.
namespace bench {

struct load_options {
    sockaddr_in to{};
    int connections = 1;
    double seconds = 1; // no new exchange is begun after that; those in progress are completed
    std::string path;   // of the GET
    std::uint64_t bytes = 0;
    double rate = 0;
    bool held = false; // run_latency: asks each once, prints a line and waits for one before it begins
};

constexpr std::size_t chunk_bytes = 16 * 1024;
// An event is "data: " and the sender's clock (now()) in seconds, up to event_time_end, filled up to event_bytes.
constexpr std::size_t event_bytes = 100;
constexpr std::size_t event_time_end = 26;

// An HTTP/1.1 origin: GET /bytes/N (Content-Length, sendfile), GET /chunked/N (16 KiB chunks, N in whole MiB), GET
// /events (ten a second, each a chunk), POST (the body is dropped), any other GET: 200 bytes. And a server that echoes.
// Prints "ready". Never returns.
[[noreturn]] void run_origin(const sockaddr_in& http, const sockaddr_in& echo);

// GETs `path` over and over on each connection, and drops the bodies.
void run_download(const load_options& options);

// POSTs bodies of `bytes` over and over on each connection.
void run_upload(const load_options& options);

// The same, in chunks.
void run_upload_chunked(const load_options& options);

// Sends `bytes` and waits until as many have come back, over and over on each connection.
void run_pingpong(const load_options& options);

// Takes the events of `path` on each connection. Counts them, and tells how old they were, in milliseconds.
void run_events(const load_options& options);

// GETs `path` on the connections in turn, `rate` times a second in all, and tells how long each answer took from when
// it was due, in microseconds.
void run_latency(const load_options& options);

// One TLS connection after the other, each with a full handshake and one GET.
void run_handshakes(const load_options& options);

// As run_idle, with TLS.
void run_idle_tls(const load_options& options);

// Opens the connections, does one GET on each, prints a line and keeps them open until the end of standard input. Then
// says how many were closed meanwhile by the other side.
void run_idle(const load_options& options);

} // namespace bench
