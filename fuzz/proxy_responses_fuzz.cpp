#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include <fuzz/check.hpp>
#include <fuzz/proxied.hpp>
#include <fuzz/target.hpp>

using namespace headgate;
using namespace headgate::fuzz;

namespace {

constexpr char segment_mark = '\x1e';
constexpr std::size_t interim_max = 16; // route_options

struct circumstances {
    std::vector<std::string> methods; // of the client's requests
    bool old_client = false;          // HTTP/1.0
    bool resets = false;              // the origin, at its end
    bool one_each = false;            // the origin ends each connection after one answer
    bool early = false;               // it answers before it has read the body, which comes slowly
};

// Answers requests, whatever they are, with the next piece of the input.
class scripted_origin final : public proxied {
public:
    scripted_origin(testing::simulation& sim, const proxied_options& o, const circumstances& how, std::string_view text)
        : proxied(sim, o), how_(how) {
        for (std::size_t at = 0; at <= text.size();) {
            const std::size_t end = std::min(text.find(segment_mark, at), text.size());
            segments_.emplace_back(text.substr(at, end - at));
            at = end + 1;
        }
    }

private:
    task<> serve(origin_connection* c) override {
        bool more = true;
        while (more) {
            more = how_.early ? co_await read_head(c) : co_await read_request(c) != nullptr;
            if (!more || next_ == segments_.size()) break;
            if (!co_await say(c, segments_[next_++])) co_return;
            if (how_.early) more = co_await read_request(c) != nullptr;
            if (how_.one_each) break;
        }
        if (how_.resets)
            c->s.reset();
        else
            co_await part(c);
    }

    circumstances how_;
    std::vector<std::string> segments_;
    std::size_t next_ = 0;
};

circumstances read_circumstances(unsigned flags, unsigned methods) {
    static constexpr std::array<const char*, 4> names = {"GET", "HEAD", "POST", "PUT"};
    circumstances c;
    for (unsigned i = 0; i <= (flags & 3); ++i) c.methods.emplace_back(names[methods >> (2 * i) & 3]);
    c.old_client = (flags & 4) != 0;
    c.resets = (flags & 8) != 0;
    c.one_each = (flags & 16) != 0;
    c.early = (flags & 64) != 0;
    return c;
}

// The client's requests: a PUT is chunked, if the version allows.
std::string requests(const circumstances& how) {
    const std::string body = how.early ? std::string{'a', pause_mark, 'b', 'c'} : "abc";
    std::string out;
    for (std::size_t i = 0; i < how.methods.size(); ++i) {
        const std::string& method = how.methods[i];
        out +=
            method + " /" + std::to_string(i) + (how.old_client ? " HTTP/1.0\r\nConnection: keep-alive" : " HTTP/1.1");
        out += "\r\nHost: x\r\n";
        if (method == "PUT" && !how.old_client)
            out += "Transfer-Encoding: chunked\r\n\r\n3\r\n" + body + "\r\n0\r\n\r\n";
        else if (method == "POST" || method == "PUT")
            out += "Content-Length: 3\r\n\r\n" + body;
        else
            out += "\r\n";
    }
    return out;
}

// What the origin answered to one request, on one connection.
struct answer {
    std::size_t number; // of the request
    strict::message final;
};

// Reads what the origin has sent as answers to what it had been asked.
void read_answers(const origin_connection& c, std::vector<answer>& to) {
    std::deque<strict::message> requests = c.requests;
    if (c.begun) requests.push_back(*c.begun);
    std::size_t at = 0;
    for (const strict::message& request : requests) {
        std::size_t number = 0;
        std::from_chars(request.target.data() + 1, request.target.data() + request.target.size(), number);
        strict::message m;
        for (std::size_t interim = 0;; ++interim) {
            m = strict::read_response(c.sent, at, request.method, c.sent_end);
            at = m.end;
            if (m.how != strict::state::whole || m.status >= 200) break;
            if (m.status == 101 || interim == interim_max) m.how = strict::state::malformed;
            if (m.how == strict::state::malformed) break;
        }
        const bool go_on = m.how == strict::state::whole;
        to.push_back({number, std::move(m)});
        if (!go_on) return;
    }
}

bool by_gateway(const strict::message& m) {
    const auto type = m.all("content-type");
    return m.status >= 400 && type.size() == 1 && type[0] == "application/problem+json";
}

// Whether the client's message is this answer, with nothing added but what the gateway adds.
bool passed_on(const strict::message& got, const strict::message& sent) {
    if (sent.how != strict::state::whole || got.status != sent.status || got.reason != sent.reason) return false;
    if (got.body != sent.body) return false;
    auto from = sent.fields.begin();
    for (const auto& f : got.fields) {
        const std::string name = strict::lowered(f.first);
        const bool ours = name == "connection" || name == "x-request-id" || name == "transfer-encoding" ||
                          name == "content-length" || (name == "via" && f.second == "1.1 headgate");
        if (ours) continue;
        from = std::find(from, sent.fields.end(), f);
        if (from == sent.fields.end()) return false;
        ++from;
    }
    return std::ranges::all_of(
        got.trailers, [&](const auto& t) { return std::ranges::find(sent.trailers, t) != sent.trailers.end(); });
}

void check_framing_fields(const strict::message& m) {
    if (m.status >= 200 && m.status != 204) return;
    check(m.all("content-length").empty() && m.all("transfer-encoding").empty(),
          "1xx and 204 say nothing of a body (RFC 9110, section 8.6; RFC 9112, section 6.1)");
}

void check_client(const circumstances& how, const heard& in, const std::vector<answer>& answers) {
    const auto any_whole = [&](std::size_t number) {
        return std::ranges::any_of(
            answers, [&](const answer& a) { return a.number == number && a.final.how == strict::state::whole; });
    };
    std::size_t number = 0;
    for (std::size_t at = 0; at < in.text.size();) {
        check(number < how.methods.size(), "there are no more answers than requests");
        const strict::message m = strict::read_response(in.text, at, how.methods[number], in.ended);
        if (m.how == strict::state::malformed) check_equal(in.text.substr(at), m.why, "answers are well-formed");
        if (m.how == strict::state::unfinished) break;
        at = m.end;
        check_framing_fields(m);
        if (m.status < 200) {
            check(!how.old_client && m.status != 101, "an interim response that this client can take");
            continue;
        }
        const bool known =
            std::ranges::any_of(answers, [&](const answer& a) { return a.number == number && passed_on(m, a.final); });
        if (!known) {
            check(by_gateway(m), "what looks whole is what the origin answered to this request, whole");
            check(how.resets || !any_whole(number), "the gateway speaks for itself only where the origin did not");
        }
        ++number;
    }
    // What the origin has said to the end arrives.
    for (std::size_t n = number; n < how.methods.size() && !how.resets; ++n)
        check(!any_whole(n), "an answer that is whole arrives");
}

} // namespace

// An input is three bytes of circumstances and then what an origin sends, in pieces of one answer each. Whatever it is,
// the client must see one answer to each request, either the origin's, whole, or one of the gateway's, or a cut that
// can be seen; nothing may be left.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 3) return 0;
    const exact_bytes input(data + 3, size - 3);
    const circumstances how = read_circumstances(data[0], data[1]);
    proxied_options o{.seed = data[2], .server = {}, .proxy = {}};
    if ((data[0] & 0x20) != 0) o.server.stream_buffer = 1024;

    testing::simulation sim({.seed = o.seed});
    {
        scripted_origin world(sim, o, how, input.text());
        world.run({.bytes = requests(how)});
        std::vector<answer> answers;
        for (const origin_connection& c : world.origins) read_answers(c, answers);
        check_client(how, world.client, answers);
    }
    check_equal(sim.leftovers(), "", "everything is released");
    return 0;
}

std::string headgate::fuzz::after_corpus() { return {}; }
