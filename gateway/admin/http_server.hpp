#pragma once

#include <headgate/core/nursery.hpp>
#include <headgate/http/inbound.hpp>
#include <headgate/http/parser.hpp>
#include <headgate/io/listener.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gateway/admin/page_assets.hpp>

// A small HTTP/1.1 server for the few who look after the gateway. It runs beside the workers, on the main thread's
// loop, and shares nothing with them.
namespace headgate::gateway::admin {

// A request, as an endpoint is given it.
struct asked {
    std::string path{};
    std::string query{};                 // with its question mark; empty for none
    std::string accept{};                // the field's value
    std::string body{};                  // of PUT
    std::vector<std::string> segments{}; // of the path, that stand where the endpoint's has {names}; decoded

    // The value of a parameter of the query, decoded; none if it is not there.
    std::optional<std::string> parameter(std::string_view name) const;
    bool wants_json() const noexcept { return accept.contains("application/json"); }
};

// Sends server-sent events to one client. A client that takes nothing for `write_timeout` is cut off.
class event_stream {
public:
    event_stream(socket& client, const bool& open) noexcept : client_(client), open_(open) {}

    // Appends to what is sent next. `data` has no line ends.
    void add(std::string_view event, std::string_view data);
    // Sends it. Gives whether there is still somebody there, and the server goes on.
    task<bool> send();

private:
    socket& client_;
    const bool& open_;
    std::string pending_;
};

// An answer, in two forms: what programs read and what people read. Who asks for text/plain gets the text.
struct answer {
    int status = 200;
    std::string text;   // for people; of an error, what is wrong: it may have several lines
    std::string json{}; // for programs, if there is another form for them; errors become problem documents (RFC 9457)
    std::string_view text_type = "text/plain; charset=utf-8";
    // If it is set, a stream of events follows: the task is dropped when the client leaves.
    std::function<task<>(event_stream&)> events{};
};

// What is answered at one path. Where that has a segment in braces, any segment fits; the first endpoint that fits is
// taken. `make` is called with each request; the task is dropped when the connection is.
struct endpoint {
    std::string_view method; // GET is HEAD, too
    std::string_view path;
    std::function<task<answer>(asked)> make;
    bool open = false; // served to who has no token, too
};

// Serves the endpoints, and the files of the page. A web page must not be able to use it: a request whose Host is a
// name other than localhost is refused (a name may have been made to lead here: DNS rebinding), and so is a POST from
// another origin. Whoever else can connect may do all that there is to do, unless there is a token: then a request for
// anything but the page and what is `open` needs it (RFC 6750).
class http_server {
public:
    static constexpr std::size_t connections_max = 32; // more are refused with 503
    static constexpr duration head_timeout = std::chrono::seconds(5);
    static constexpr duration keep_alive_timeout = std::chrono::seconds(60);
    static constexpr std::size_t event_streams_max = 8; // at a time; more are refused with 503
    static constexpr std::size_t body_bytes_max = 4096;
    static constexpr duration write_timeout = std::chrono::seconds(5);
    static constexpr http::head_limits limits{.head_bytes_max = 8 * 1024};

    explicit http_server(std::vector<endpoint> endpoints) : endpoints_(std::move(endpoints)) {}
    http_server(const http_server&) = delete;
    http_server& operator=(const http_server&) = delete;

    // Serves who connects to `l`.
    void start(listener l);
    // What requests must have. Empty: nothing.
    void set_token(std::string token) { token_ = std::move(token); }
    // Takes no more connections; those that there are go on, but for streams of events.
    void stop() noexcept;
    // Null if it does not serve.
    listener* listening() noexcept { return listening_ ? &*listening_ : nullptr; }

private:
    // What is kept of a request's head.
    struct request_facts {
        http::method verb{};
        std::string method{};
        std::string authorization{};
        std::string if_none_match{};
        bool as_text = false;
        bool keep_alive = false;
        http::body_framing framing{};
        std::string refused{}; // why it is not one of those who look after the gateway
    };
    request_facts facts_of(const http::request_head& head) const;
    task<> accept_connections();
    task<> serve(socket client);
    task<bool> read_head(socket& client, http::inbound& in, http::request_parser& parser);
    task<bool> read_body(socket& client, http::inbound& in, std::size_t bytes, std::string& body);
    task<bool> say(socket& client, answer a, const request_facts& to, bool keep_alive, std::string allow = {});
    task<bool> say_asset(socket& client, const asset& a, const request_facts& to, bool keep_alive);
    task<> stream_events(socket& client, const answer& a);
    const endpoint* find(const request_facts& f, asked& rq, std::string& allow) const;
    bool has_token(const request_facts& f) const noexcept;
    task<answer> make(socket& client, http::inbound& in, request_facts& f, asked& rq, std::string& allow);

    std::vector<endpoint> endpoints_;
    std::string token_;
    bool open_ = false;
    std::size_t event_streams_ = 0;
    std::optional<listener> listening_;
    nursery connections_;
    nursery accepting_;
};

} // namespace headgate::gateway::admin
