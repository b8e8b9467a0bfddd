#include <cstdio>
#include <filesystem>

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <gateway/admin/api.hpp>

namespace headgate::gateway::admin {

process_facts process_now() {
    process_facts p;
    if (std::FILE* f = std::fopen("/proc/self/statm", "re")) {
        unsigned long all = 0;
        unsigned long resident = 0;
        if (std::fscanf(f, "%lu %lu", &all, &resident) == 2)
            p.rss_bytes = resident * static_cast<unsigned long>(::sysconf(_SC_PAGESIZE));
        std::fclose(f);
    }
    std::error_code none;
    for (std::filesystem::directory_iterator i("/proc/self/fd", none), end; !none && i != end; i.increment(none))
        ++p.descriptors;
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) p.descriptors_max = limit.rlim_cur;
    rusage used{};
    if (::getrusage(RUSAGE_SELF, &used) == 0)
        p.cpu_seconds = static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                        static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    return p;
}

namespace {

double seconds(duration d) { return std::chrono::duration<double>(d).count(); }

// A label's value, with what must be escaped.
std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\n') {
            out += "\\n";
            continue;
        }
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

std::string label(const char* name, std::string_view value) { return fmt::format("{}=\"{}\"", name, escaped(value)); }

// Writes families of samples.
class exposition {
public:
    void family(std::string_view name, const char* type, std::string_view help) {
        name_ = name;
        fmt::format_to(to(), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
    }
    template <class T>
    void sample(const std::string& labels, T value, std::string_view suffix = {}) {
        if (labels.empty())
            fmt::format_to(to(), "{}{} {}\n", name_, suffix, value);
        else
            fmt::format_to(to(), "{}{}{{{}}} {}\n", name_, suffix, labels, value);
    }
    template <class T>
    void one(std::string_view name, const char* type, std::string_view help, T value) {
        family(name, type, help);
        sample({}, value);
    }
    // Counts that are not cumulative, with upper bounds in seconds.
    template <class Bounds, class Counts>
    void histogram(const std::string& labels, const Bounds& bounds, double unit, const Counts& counts, double sum) {
        const std::string comma = labels.empty() ? "" : ",";
        std::uint64_t n = 0;
        for (std::size_t i = 0; i < counts.size(); ++i) {
            n += counts[i];
            const std::string le =
                i < bounds.size() ? fmt::format("{}", static_cast<double>(bounds[i]) / unit) : "+Inf";
            sample(labels + comma + label("le", le), n, "_bucket");
        }
        sample(labels, sum, "_sum");
        sample(labels, n, "_count");
    }
    template <auto Bounds>
    void histogram(const std::string& labels, const gateway::histogram<Bounds>& h) {
        histogram(labels, h.bounds, 1e6, h.counts(), seconds(h.sum()));
    }

    std::string take() { return std::move(out_); }

private:
    std::back_insert_iterator<std::string> to() { return std::back_inserter(out_); }

    std::string out_;
    std::string name_;
};

const route_totals& live_of(const worker_state& s, std::string_view route) {
    static const route_totals none{};
    const auto found = s.routes.find(route);
    return found == s.routes.end() ? none : found->second;
}

void write_requests(exposition& out, const worker_state& s) {
    static constexpr const char* codes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    out.family("headgate_requests_total", "counter",
               "Requests and tunnels that have ended, by the class of their status.");
    for (const auto& [name, m] : s.meters)
        for (std::size_t i = 0; i < m.answers.size(); ++i)
            out.sample(label("route", name) + "," + label("code", codes[i]), m.answers[i]);
    out.family("headgate_request_errors_total", "counter", "Of these, those that did not end well, or with 5xx.");
    for (const auto& [name, m] : s.meters) out.sample(label("route", name), m.errors);
    out.family("headgate_request_duration_seconds", "histogram",
               "From a request's first byte to the last of its answer, or to its end.");
    for (const auto& [name, m] : s.meters) out.histogram(label("route", name), m.durations);
    out.family("headgate_first_byte_seconds", "histogram",
               "From a request's first byte to the head of the upstream's answer, or the first row of an export.");
    for (const auto& [name, m] : s.meters) out.histogram(label("route", name), m.first_bytes);
    out.family("headgate_body_bytes_total", "counter",
               "Bytes of bodies and tunnels, towards the upstream (up) or the client (down).");
    for (const auto& [name, m] : s.meters) {
        const route_totals& live = live_of(s, name);
        out.sample(label("route", name) + R"(,direction="up")", m.up_bytes + live.up_bytes);
        out.sample(label("route", name) + R"(,direction="down")", m.down_bytes + live.down_bytes);
    }
    out.family("headgate_wait_seconds_total", "counter", "How long flows have waited, by whom they waited for.");
    for (const auto& [name, m] : s.meters)
        for (std::size_t i = 0; i < waited_parties; ++i)
            out.sample(label("route", name) + "," + label("party", to_string(static_cast<waited_party>(i))),
                       seconds(m.waits[i] + live_of(s, name).waits[i]));
    out.family("headgate_ends_total", "counter", "Flows that have ended, by their cause and by who ended them.");
    for (std::size_t i = 0; i < causes; ++i) {
        const auto why = static_cast<cause>(i);
        const char* side = side_of(why);
        out.sample(label("cause", to_string(why)) + "," + label("side", side ? side : "none"), s.ends[i]);
    }
    out.family("headgate_teardown_seconds", "histogram",
               "From when the failure of a flow was noticed until all that it held was gone.");
    out.histogram({}, s.teardowns);
}

void write_live(exposition& out, const worker_state& s) {
    out.family("headgate_flows", "gauge", "Requests and tunnels in progress.");
    for (const auto& [name, m] : s.meters) out.sample(label("route", name), live_of(s, name).flows);
    out.family("headgate_flows_stalled", "gauge",
               "Of these, those of which nothing has moved for half a second or more.");
    for (const auto& [name, m] : s.meters) out.sample(label("route", name), live_of(s, name).stalled);
    out.family("headgate_held_bytes", "gauge", "Bytes that the stages of live flows hold.");
    for (const auto& [name, m] : s.meters) out.sample(label("route", name), live_of(s, name).held);
    out.one("headgate_connections", "gauge", "Connections of clients.", s.live.connections);
    out.one("headgate_buffer_bytes", "gauge", "Bytes of buffers in use.", s.live.buffer_bytes);
    out.one("headgate_frames", "gauge", "Coroutines that are alive.", s.live.frames);
}

void write_upstreams(exposition& out, const worker_state& s) {
    out.family("headgate_upstream_connections", "gauge", "Connections to upstreams, by their state.");
    for (const auto& [name, u] : s.upstreams) {
        out.sample(label("upstream", name) + R"(,state="busy")", u.busy);
        out.sample(label("upstream", name) + R"(,state="idle")", u.idle);
    }
    out.family("headgate_upstream_queued", "gauge", "Requests that wait for a connection.");
    for (const auto& [name, u] : s.upstreams) out.sample(label("upstream", name), u.queued);
    out.family("headgate_upstream_retries_total", "counter", "Requests that were sent again.");
    for (const auto& [name, u] : s.upstreams) out.sample(label("upstream", name), u.counts.retries);
    out.family("headgate_upstream_fallbacks_total", "counter", "Requests that went to the fallback.");
    for (const auto& [name, u] : s.upstreams) out.sample(label("upstream", name), u.counts.fallbacks);
    out.family("headgate_upstream_ejections_total", "counter", "Endpoints that were left alone for their failures.");
    for (const auto& [name, u] : s.upstreams) out.sample(label("upstream", name), u.counts.ejections);
    out.family("headgate_upstream_tls_handshakes_total", "counter",
               "TLS handshakes with upstreams, by whether they went on with an earlier session.");
    for (const auto& [name, u] : s.upstreams) {
        out.sample(label("upstream", name) + R"(,resumed="no")", u.counts.tls.full);
        out.sample(label("upstream", name) + R"(,resumed="yes")", u.counts.tls.resumed);
    }
    out.family("headgate_upstream_circuit_open", "gauge", "Whether nothing is sent to the upstream for its failures.");
    for (const auto& [name, u] : s.upstreams)
        out.sample(label("upstream", name), u.circuit == circuit_breaker::state::open ? 1 : 0);
    out.family("headgate_upstream_endpoint_healthy", "gauge", "Whether an endpoint is neither ejected nor down.");
    for (const auto& [name, u] : s.upstreams)
        for (const endpoint_state& e : u.endpoints)
            out.sample(label("upstream", name) + "," + label("endpoint", e.address), e.healthy ? 1 : 0);
}

void write_sources(exposition& out, const worker_state& s) {
    out.family("headgate_source_connections", "gauge", "Connections to databases, by their state.");
    for (const auto& [name, source] : s.sources) {
        out.sample(label("source", name) + R"(,state="busy")", source.pool.held);
        out.sample(label("source", name) + R"(,state="idle")", source.pool.idle);
        out.sample(label("source", name) + R"(,state="connecting")", source.pool.connecting);
        out.sample(label("source", name) + R"(,state="recovering")", source.pool.recovering);
    }
    out.family("headgate_source_waiting", "gauge", "Exports that wait for a connection.");
    for (const auto& [name, source] : s.sources) out.sample(label("source", name), source.pool.waiting);
    out.family("headgate_source_hold_seconds", "histogram", "How long connections to databases were held.");
    for (const auto& [name, source] : s.sources)
        out.histogram(label("source", name), db::pool_stats::hold_seconds, 1, source.pool.held_for,
                      seconds(source.pool.held_in_all));
    out.family("headgate_source_returned_early_total", "counter",
               "Exports whose database was free before their client had all.");
    for (const auto& [name, source] : s.sources) out.sample(label("source", name), source.returned_early);
}

void write_loops(exposition& out, const fleet& workers) {
    out.one("headgate_workers", "gauge", "Threads that serve.", workers.size());
    out.family("headgate_loop_turn_seconds", "histogram",
               "Turns of the workers' event loops: what becomes ready during one waits for its end.");
    const auto all = workers.turns();
    for (std::size_t i = 0; i < all.size(); ++i)
        out.histogram(label("worker", std::to_string(i)), turn_times::bounds, 1e6, all[i].turns, seconds(all[i].sum));
    if (const auto stalls = workers.stalls())
        out.one("headgate_loop_stalls_total", "counter",
                "Turns that were at work, or blocked, for longer than loop_stall_threshold.", *stalls);
}

// What was to be told and was not, beside what was.
void write_told(exposition& out, const server_facts& facts, const fleet& workers) {
    if (const access_log* log = workers.log())
        out.one("headgate_log_lines_dropped_total", "counter", "Lines of the access log that were not written.",
                log->dropped());
    if (!facts.traces || facts.traces->traces().options().collector.empty()) return;
    const trace_exporter::counts& sent = facts.traces->counted();
    out.family("headgate_trace_spans_total", "counter",
               "Spans, by what became of them: the collector took or refused them, could not be reached, or there was "
               "no room for them.");
    out.sample(R"(result="exported")", sent.exported);
    out.sample(R"(result="rejected")", sent.rejected);
    out.sample(R"(result="failed")", sent.given_up);
    out.sample(R"(result="dropped")", facts.traces->traces().counted().dropped);
}

} // namespace

std::string metrics_text(const worker_state& s, const server_facts& facts, const fleet& workers) {
    exposition out;
    write_requests(out, s);
    write_live(out, s);
    write_upstreams(out, s);
    write_sources(out, s);
    if (const memory_budget* b = workers.budget()) {
        out.one("headgate_memory_used_bytes", "gauge", "What counts against the memory limit.", b->used());
        out.one("headgate_memory_limit_bytes", "gauge", "The memory limit.", b->limit());
    }
    const auto spool = workers.current().spool_levels().front();
    out.one("headgate_spool_used_bytes", "gauge", "Bytes on disk, read ahead of slow clients.", spool.used);
    if (spool.limit != unlimited)
        out.one("headgate_spool_limit_bytes", "gauge", "The most there may be of them.", spool.limit);
    out.family("headgate_reloads_total", "counter", "Reloads of the configuration, by whether they succeeded.");
    out.sample(R"(result="success")", facts.reloads);
    out.sample(R"(result="failure")", facts.reloads_failed);
    write_told(out, facts, workers);
    write_loops(out, workers);
    out.one("headgate_ready", "gauge", "Whether the gateway serves, and does not drain.", facts.ready ? 1 : 0);
    out.family("headgate_build_info", "gauge", "Always 1; the version is a label.");
    out.sample(label("version", HEADGATE_VERSION), 1);
    const process_facts p = process_now();
    out.one("process_cpu_seconds_total", "counter", "CPU time, of user and system.", p.cpu_seconds);
    out.one("process_resident_memory_bytes", "gauge", "Resident memory.", p.rss_bytes);
    out.one("process_open_fds", "gauge", "Open descriptors.", p.descriptors);
    out.one("process_max_fds", "gauge", "The most descriptors there may be.", p.descriptors_max);
    const auto begun = std::chrono::duration<double>(facts.started.time_since_epoch()).count();
    out.one("process_start_time_seconds", "gauge", "When the process began, in seconds since 1970.", begun);
    return out.take();
}

} // namespace headgate::gateway::admin
