#include <headgate/core/nursery.hpp>
#include <headgate/core/race.hpp>
#include <headgate/core/sleep.hpp>
#include <headgate/io/signals.hpp>
#include <headgate/io/socket.hpp>

#include <cstdlib>

#include <fmt/format.h>
#include <unistd.h>

#include <gateway/top/query.hpp>
#include <gateway/top/terminal.hpp>
#include <gateway/top/top.hpp>
#include <gateway/top/words.hpp>

namespace headgate::gateway::top {

namespace {

constexpr duration refresh_interval = std::chrono::seconds(1);
constexpr duration answer_timeout = std::chrono::seconds(5);
constexpr duration sequence_timeout = std::chrono::milliseconds(50); // between the bytes of one key
constexpr std::size_t flows_max = 1000;                              // the most that the API gives
constexpr std::size_t asking_max = 4;                                // requests at one time
constexpr std::size_t filter_max = 200;

// The terminal's input, watched by the loop as long as this lives.
class watched {
public:
    explicit watched(int fd) {
        const result<slot*> s = loop::current().watch(fd);
        if (!s) throw std::system_error(s.error(), "cannot watch the terminal");
        slot_ = *s;
    }
    watched(const watched&) = delete;
    watched& operator=(const watched&) = delete;
    ~watched() { loop::current().release(*slot_); }
    slot& state() noexcept { return *slot_; }

private:
    slot* slot_;
};

class program {
public:
    program(admin::target where, std::string filter) : where_(std::move(where)), screen_(STDIN_FILENO, STDOUT_FILENO) {
        shown_.where = where_.at.text();
        shown_.filter = std::move(filter);
        shown_.colours = std::getenv("NO_COLOR") == nullptr; // no thread is there to set it meanwhile
    }
    program(const program&) = delete;
    program& operator=(const program&) = delete;
    ~program() = default;

    task<int> run() {
        signal_set signals({SIGWINCH, SIGHUP, SIGTSTP, SIGQUIT});
        const auto first = co_await race(read_keys(), refresh_always(), obey(&signals));
        co_return first.index() == 2 ? std::get<2>(first) : 0;
    }

private:
    task<> refresh_always() {
        for (;;) {
            if (!shown_.paused) ask_again();
            co_await sleep_for(refresh_interval);
        }
    }

    // Asks now. If too much is asked already, the gateway is slow, and asking more would not help.
    void ask_again() {
        if (asking_.size() < asking_max) asking_.spawn(refresh());
    }

    task<> refresh() {
        const std::size_t mine = ++asked_;
        const std::string query =
            flow_query{.sort = std::string(orders[shown_.sorted_by].key),
                       .limit = std::min(flows_max, list_rows(screen_.size()) + 50 + shown_.first),
                       .search = shown_.filter}
                .path();
        const bool inspects = shown_.shows == state::mode::inspect;
        const std::string id = inspects && shown_.chosen_flow() ? shown_.chosen_flow()->id : std::string();
        auto all = co_await attempt(get("/api/v1/overview"));
        auto flows = co_await attempt(get(query));
        std::optional<flow_row> inspected;
        if (!id.empty())
            if (const auto more = co_await attempt(get("/api/v1/flows/" + percent_encoded(id))); more && more->good())
                if (auto row = read_flow(more->body)) inspected = std::move(*row);
        if (mine < taken_) co_return; // a later one was faster
        taken_ = mine;
        if (!all || !flows) {
            shown_.problem = printable((all ? flows : all).error().message());
        } else if (!all->good() || !flows->good()) {
            shown_.problem = read_problem((all->good() ? flows : all)->body);
        } else {
            take(read_overview(all->body), read_flows(flows->body));
            shown_.inspected = std::move(inspected);
        }
        draw_if_idle();
    }

    void take(std::expected<overview, std::string> all, std::expected<flow_list, std::string> flows) {
        shown_.problem = !all ? all.error() : !flows ? flows.error() : std::string();
        if (!shown_.problem.empty()) return;
        shown_.all = std::move(*all);
        shown_.list = std::move(*flows);
    }

    task<admin::reply> get(std::string path) {
        return admin::ask(where_, "GET", std::move(path), "application/json", answer_timeout);
    }

    task<> abort_flow(std::string id) {
        const auto r = co_await attempt(
            admin::ask(where_, "DELETE", "/api/v1/flows/" + percent_encoded(id), "application/json", answer_timeout));
        if (!r)
            shown_.message = printable(r.error().message());
        else
            shown_.message = r->good() ? id + " is aborted" : id + " was not aborted: " + read_problem(r->body);
        draw_now();
        ask_again();
    }

    void draw_now() { screen_.show(draw(shown_, screen_.size())); }
    // Over a slow line a picture is left out rather than queued.
    void draw_if_idle() {
        if (!screen_.busy()) draw_now();
    }

    task<int> obey(signal_set* signals) {
        for (;;) {
            const int s = co_await signals->next();
            if (s == SIGHUP || s == SIGQUIT) co_return 128 + s;
            if (s == SIGTSTP) {
                screen_.leave();
                ::raise(SIGSTOP);
                screen_.enter();
            }
            screen_.forget();
            draw_now();
        }
    }

    task<> read_keys() {
        watched input(STDIN_FILENO);
        key_reader keys;
        for (;;) {
            const auto came = co_await headgate::detail::ready_operation(input.state(), &slot::reading, &slot::readable,
                                                                         keys.pending() ? sequence_timeout : forever);
            std::array<char, 256> bytes;
            std::vector<pressed> got;
            if (!came) {
                got = keys.timed_out();
            } else {
                const ssize_t n = ::read(STDIN_FILENO, bytes.data(), bytes.size());
                if (n <= 0) {
                    if (input.state().broken) co_return; // the terminal is gone
                    input.state().readable = false;
                    continue;
                }
                got = keys.feed({bytes.data(), static_cast<std::size_t>(n)});
            }
            for (const pressed& p : got)
                if (!take_key(p)) co_return;
            if (!got.empty()) draw_now();
        }
    }

    // Gives false when it is time to go.
    bool take_key(pressed p) {
        if (shown_.asks == state::prompt::filter) {
            type(p);
        } else if (shown_.asks == state::prompt::abort) {
            shown_.asks = state::prompt::none;
            if (const flow_row* f = shown_.chosen_flow(); f && p.what == key::text && p.text == 'y')
                asking_.spawn(abort_flow(f->id));
        } else {
            shown_.message.clear();
            return command(p);
        }
        return true;
    }

    void type(pressed p) {
        if (p.what == key::text && shown_.typed.size() < filter_max) shown_.typed += p.text;
        if (p.what == key::erase && !shown_.typed.empty()) shown_.typed.pop_back();
        if (p.what != key::enter && p.what != key::escape) return;
        shown_.asks = state::prompt::none;
        if (p.what == key::enter) {
            shown_.filter = shown_.typed;
            ask_again();
        }
    }

    bool command(pressed p) {
        const auto page = static_cast<std::ptrdiff_t>(list_rows(screen_.size()));
        switch (p.what) {
        case key::up: shown_.move(-1); break;
        case key::down: shown_.move(1); break;
        case key::page_up: shown_.move(-page); break;
        case key::page_down: shown_.move(page); break;
        case key::home: shown_.move(-static_cast<std::ptrdiff_t>(flows_max)); break;
        case key::end: shown_.move(flows_max); break;
        case key::enter: inspect(); break;
        case key::escape: shown_.shows = state::mode::list; break;
        case key::erase: break;
        case key::text: return letter(p.text);
        }
        return true;
    }

    bool letter(char c) {
        constexpr std::size_t n = std::size(orders);
        switch (c) {
        case 'j': shown_.move(1); break;
        case 'k': shown_.move(-1); break;
        case 's': sort_by((shown_.sorted_by + 1) % n); break;
        case 'S': sort_by((shown_.sorted_by + n - 1) % n); break;
        case 'p': shown_.paused = !shown_.paused; break;
        case '?': shown_.shows = state::mode::help; break;
        case '/':
            shown_.asks = state::prompt::filter;
            shown_.typed = shown_.filter;
            break;
        case 'x':
            if (const flow_row* f = shown_.chosen_flow()) {
                shown_.chosen = f->id; // the one that is asked about, even if another comes before it
                shown_.asks = state::prompt::abort;
            }
            break;
        case 'q':
            if (shown_.shows == state::mode::list) return false;
            shown_.shows = state::mode::list;
            break;
        default: break;
        }
        return true;
    }

    void sort_by(std::size_t order) {
        shown_.sorted_by = order;
        ask_again();
    }

    void inspect() {
        if (shown_.shows == state::mode::inspect) {
            shown_.shows = state::mode::list;
        } else if (const flow_row* f = shown_.chosen_flow()) {
            shown_.chosen = f->id;
            shown_.shows = state::mode::inspect;
            ask_again();
        }
    }

    admin::target where_;
    terminal screen_;
    state shown_;
    std::size_t asked_ = 0;
    std::size_t taken_ = 0;
    nursery asking_;
};

} // namespace

task<int> run_top(admin::target where, std::string filter) {
    program p(std::move(where), std::move(filter));
    co_return co_await p.run();
}

} // namespace headgate::gateway::top
