#pragma once

#include <headgate/core/nursery.hpp>
#include <headgate/http/inbound.hpp>
#include <headgate/http/parser.hpp>
#include <headgate/io/listener.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

// A small HTTP/1.1 server for the few who look after the gateway. It runs beside the workers, on the main thread's
// loop, and shares nothing with them.
namespace headgate::gateway::admin {

// An answer, in two forms: what programs read and what people read. Who asks for text/plain gets the text.
struct answer {
    int status = 200;
    std::string text;   // for people; of an error, what is wrong: it may have several lines
    std::string json{}; // for programs, if there is another form for them; errors become problem documents (RFC 9457)
};

// What is answered at one path. `make` is called with each request; the task is dropped when the connection is.
struct endpoint {
    std::string_view method; // GET is HEAD, too
    std::string_view path;
    std::function<task<answer>()> make;
};

// Serves the endpoints. A web page must not be able to use it: a request whose Host is a name other than localhost is
// refused (a name may have been made to lead here: DNS rebinding), and so is a POST from another origin. Whoever else
// can connect may do all that there is to do.
class http_server {
public:
    static constexpr std::size_t connections_max = 32; // more are refused with 503
    static constexpr duration head_timeout = std::chrono::seconds(5);
    static constexpr duration keep_alive_timeout = std::chrono::seconds(60);
    static constexpr duration write_timeout = std::chrono::seconds(5);
    static constexpr http::head_limits limits{.head_bytes_max = 8 * 1024};

    explicit http_server(std::vector<endpoint> endpoints) : endpoints_(std::move(endpoints)) {}
    http_server(const http_server&) = delete;
    http_server& operator=(const http_server&) = delete;

    // Serves who connects to `l`.
    void start(listener l);
    // Takes no more connections; those that there are go on.
    void stop() noexcept;
    // Null if it does not serve.
    listener* listening() noexcept { return listening_ ? &*listening_ : nullptr; }

private:
    task<> accept_connections();
    task<> serve(socket client);
    task<bool> read_head(socket& client, http::inbound& in, http::request_parser& parser);
    task<bool> say(socket& client, answer a, const http::request_head* to, bool keep_alive, std::string allow = {});
    task<answer> find(const http::request_head& head, std::string& allow);

    std::vector<endpoint> endpoints_;
    std::optional<listener> listening_;
    nursery connections_;
    nursery accepting_;
};

} // namespace headgate::gateway::admin
