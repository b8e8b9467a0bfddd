#include <fuzz/check.hpp>
#include <fuzz/proxied.hpp>
#include <fuzz/target.hpp>

using namespace headgate;
using namespace headgate::fuzz;

namespace {

// Answers each request with its number, with a length and in chunks by turns.
class honest_origin final : public proxied {
public:
    using proxied::proxied;

    std::deque<strict::message> seen; // in the order in which they came

    // The beginning of a request that was not whole when its connection ended.
    const strict::message* cut() const {
        for (const origin_connection& c : origins)
            if (c.begun) return &*c.begun;
        return nullptr;
    }

private:
    task<> serve(origin_connection* c) override {
        while (const strict::message* m = co_await read_request(c)) {
            const std::string number = std::to_string(seen.size());
            std::string answer = "HTTP/1.1 200 OK\r\nX-Number: " + number + "\r\n";
            if (seen.size() % 2 == 0)
                answer += "Content-Length: 5\r\n\r\n" + std::string(m->method == "HEAD" ? "" : "hello");
            else
                answer += "Transfer-Encoding: chunked\r\n\r\n" +
                          std::string(m->method == "HEAD" ? "" : "5\r\nhello\r\n0\r\n\r\n");
            seen.push_back(*m);
            if (!co_await say(c, std::move(answer))) co_return;
        }
    }
};

// The client's requests, as far as they can be read; the last one may be whatever the client began.
std::deque<strict::message> requests_in(std::string text) {
    std::erase(text, pause_mark);
    std::deque<strict::message> found;
    for (std::size_t at = 0;;) {
        strict::message m = strict::read_request(text, at);
        const bool whole = m.how == strict::state::whole;
        at = m.end;
        found.push_back(std::move(m));
        if (!whole) return found;
    }
}

// The target in the form in which it is sent on.
bool same_target(const std::string& given, const std::string& sent) {
    if (given == sent) return true;
    if (given.find("://") == std::string::npos) return false;
    return given.ends_with(sent) || sent == "/" || sent == "*" ||
           (sent.starts_with("/?") && given.ends_with(std::string_view(sent).substr(1)));
}

// Fields that the gateway writes.
bool ours(const std::string& name, const std::string& method) {
    if (name == "max-forwards") return method == "OPTIONS" || method == "TRACE";
    for (const std::string_view own : {"host", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
                                       "x-request-id", "content-length", "transfer-encoding", "te", "connection"})
        if (name == own) return true;
    return false;
}

// What came of a request is what the client said, and nothing but that.
void check_passed(const strict::message& given, const strict::message& sent, bool whole) {
    check_equal(sent.method, given.method, "the method is the client's");
    check(same_target(given.target, sent.target), "the target is the client's");
    auto from = given.fields.begin();
    for (const auto& f : sent.fields) {
        if (ours(strict::lowered(f.first), sent.method)) continue;
        from = std::find(from, given.fields.end(), f);
        check(from != given.fields.end(), "each field is the client's, in the client's order");
        ++from;
    }
    if (whole) {
        check(given.how == strict::state::whole, "a request that is whole was sent whole");
        check_equal(sent.body, given.body, "the body is the client's");
        for (const auto& t : sent.trailers)
            check(std::ranges::find(given.trailers, t) != given.trailers.end(), "trailers are the client's");
    } else {
        check(given.body.starts_with(sent.body), "the beginning of the body is the client's");
    }
}

// The client gets one answer to each request, in order, and at most one more, from the gateway itself.
void check_answers(const honest_origin& world, const std::deque<strict::message>& given, bool stayed) {
    const heard& in = world.client;
    std::size_t at = 0;
    std::size_t n = 0;
    for (; at < in.text.size(); ++n) {
        check(n < given.size(), "there are no more answers than requests");
        const std::string method = given[n].method;
        strict::message m = strict::read_response(in.text, at, method, in.ended);
        // A HEAD that is too long for the gateway is answered before it is known to be one.
        if (m.status == 414) m = strict::read_response(in.text, at, "GET", in.ended);
        check(m.how != strict::state::malformed, "answers are well-formed");
        check(n <= world.seen.size(), "there is one answer to a request");
        if (m.how == strict::state::unfinished) {
            check(!stayed, "answers are whole for a client that stays");
            return;
        }
        at = m.end;
        const auto number = m.all("x-number");
        if (number.empty()) {
            check(m.status >= 400, "what the origin did not answer is an error");
            check(at == in.text.size(), "and the last answer");
        } else {
            check_equal(number[0], std::to_string(n), "answers come in the order of the requests");
            check_equal(m.body, method == "HEAD" ? "" : "hello", "with their own bodies");
        }
    }
    if (stayed) check(n >= world.seen.size(), "each request is answered");
}

} // namespace

// An input is two bytes of circumstances and then what a client sends. What the origin gets must be requests of the
// client's, each whole and the same for every reader; the client must get its answers; nothing may be left.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const exact_bytes input(data + 2, size - 2);
    const script client{.bytes = std::string(input.text()), .how = static_cast<leaving>(data[0] % 3)};
    proxied_options o{.seed = data[1], .server = {}, .proxy = {}};
    if ((data[0] & 0x20) != 0) o.proxy.route.request_body_max = o.proxy.http.requests_per_connection_max = 3;
    if ((data[0] & 0x40) != 0) o.server.stream_buffer = 1024;
    if ((data[0] & 0x80) != 0) o.proxy.http.heads = {.head_bytes_max = 200, .request_line_max = 60, .headers_max = 5};

    testing::simulation sim({.seed = o.seed});
    {
        honest_origin world(sim, o);
        world.run(client);
        const std::deque<strict::message> given = requests_in(client.bytes);
        const std::size_t whole = world.seen.size();
        check(whole <= given.size(), "there are no more requests than the client sent");
        for (std::size_t i = 0; i < whole; ++i) check_passed(given[i], world.seen[i], true);
        if (const strict::message* m = world.cut()) {
            check(whole < given.size(), "a request that was cut was begun by the client");
            check_passed(given[whole], *m, false);
        }
        check_answers(world, given, client.how == leaving::last);
    }
    check_equal(sim.leftovers(), "", "everything is released");
    return 0;
}

std::string headgate::fuzz::after_corpus() { return {}; }
