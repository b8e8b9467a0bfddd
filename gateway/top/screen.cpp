#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include <gateway/top/screen.hpp>
#include <gateway/top/words.hpp>

namespace headgate::gateway::top {

namespace {

constexpr std::size_t head_rows = 5; // above the flows: two of numbers, the headline, an empty one, the titles
constexpr std::string_view bold = "1", dim = "2", reverse = "7", red = "31", green = "32", yellow = "33";

// A line that is never wider than the screen.
class line {
public:
    line(std::size_t width, bool colours) : left_(width), colours_(colours) {}

    line& put(std::string_view text, std::string_view style = {}) {
        const std::string_view seen = text.substr(0, left_);
        left_ -= seen.size();
        const bool styled = colours_ && !style.empty() && !seen.empty();
        if (styled) text_.append("\x1b[").append(style).append("m");
        text_.append(seen);
        if (styled) text_.append("\x1b[0m");
        return *this;
    }
    // In a column of its own; what is too long is cut.
    line& cell(std::string_view text, std::size_t width, std::string_view style = {}) {
        const std::string_view seen = text.substr(0, width);
        put(seen, style);
        return gap(width - seen.size() + 1);
    }
    line& gap(std::size_t n) { return put(std::string(std::min(n, left_), ' ')); }
    std::size_t left() const noexcept { return left_; }
    std::string take() { return std::move(text_); }

private:
    std::string text_;
    std::size_t left_;
    bool colours_;
};

std::string_view style_of(judgement::level how) {
    return how == judgement::level::stalled ? red : how == judgement::level::slow ? yellow : green;
}

std::string of(const budget& b) { return bytes_text(b.used) + " of " + bytes_text(b.limit); }

// What connection a flow keeps, and for how long.
std::string kept(const flow_row& f) {
    if (!f.hold_ms) return "-";
    if (!f.holding) return "back " + time_text(*f.hold_ms);
    return (f.source.empty() ? "upstream " : "database ") + time_text(*f.hold_ms);
}

struct column {
    std::string_view title;
    std::size_t width;
    std::size_t from_columns; // shown on screens at least so wide
    std::string (*text)(const flow_row&);
};

constexpr std::array columns{
    column{"HELD", 9, 0, [](const flow_row& f) { return bytes_text(f.held); }},
    column{"OF", 9, 120, [](const flow_row& f) { return f.held_limit ? bytes_text(f.held_limit) : std::string("-"); }},
    column{"KEEPS", 20, 110, [](const flow_row& f) { return kept(f); }},
    column{"AGE", 12, 0, [](const flow_row& f) { return time_text(f.age_ms); }},
    column{"MOVED", 9, 130, [](const flow_row& f) { return bytes_text(f.up + f.down); }},
    column{"CLIENT", 15, 0, [](const flow_row& f) { return f.client; }},
    column{"ROUTE", 12, 145, [](const flow_row& f) { return f.route; }},
};
constexpr std::size_t waits_width = 20;

std::string titles(const state& s, screen_size size) {
    line l(size.columns, s.colours);
    l.cell("  WAITS FOR", waits_width + 2, bold);
    for (const column& c : columns)
        if (size.columns >= c.from_columns) l.cell(c.title, c.width, bold);
    return l.put("WHAT", bold).take();
}

std::string row(const state& s, const flow_row& f, bool chosen, screen_size size) {
    const judgement j = judge(f);
    line l(size.columns, s.colours);
    l.put(chosen ? "> " : "  ", bold);
    l.cell(j.how == judgement::level::fine ? "moves" : j.brief, waits_width, style_of(j.how));
    for (const column& c : columns)
        if (size.columns >= c.from_columns) l.cell(c.text(f), c.width, chosen ? bold : std::string_view());
    return l.put(f.what(), chosen ? bold : std::string_view()).take();
}

void draw_head(const state& s, screen_size size, std::vector<std::string>& out) {
    line first(size.columns, s.colours);
    first.put("headgate ", bold);
    if (s.all) first.put(s.all->version + " ", bold);
    if (!s.problem.empty())
        first.put(s.problem, red);
    else if (!s.all)
        first.put("asking " + s.where, dim);
    else
        first
            .put(s.paused          ? "paused"
                 : s.all->draining ? "ending"
                 : s.all->ready    ? "ready"
                                   : "not ready",
                 s.paused || s.all->draining || !s.all->ready ? yellow : green)
            .put(fmt::format("  {}  up {}  {} flows, ", s.where, time_text(s.all->uptime_s * 1000), s.all->flows))
            .put(fmt::format("{} stalled", s.all->stalled()), s.all->stalled() ? red : std::string_view());
    out.push_back(first.take());

    line second(size.columns, s.colours);
    if (s.all) {
        if (s.all->memory) second.put("memory " + of(*s.all->memory) + "  ", dim);
        if (s.all->spool) second.put("spool " + of(*s.all->spool) + "  ", dim);
        if (s.all->descriptors)
            second.put(fmt::format("descriptors {} of {}  ", s.all->descriptors->used, s.all->descriptors->limit), dim);
        second.put(fmt::format("{:.0f} requests/s  {}/s out", s.all->requests_per_s,
                               bytes_text(static_cast<std::uint64_t>(std::max(0.0, s.all->down_per_s)))),
                   dim);
    }
    out.push_back(second.take());
}

void draw_list(state& s, screen_size size, std::vector<std::string>& out) {
    line says(size.columns, s.colours);
    if (s.all) {
        const std::string text = headline(*s.all, s.list.flows, s.sorted_by == 0 && s.filter.empty());
        says.put(text, text.starts_with("Everything") || text.starts_with("Nothing") ? green : red);
    }
    out.push_back(says.take());
    out.emplace_back();
    out.push_back(titles(s, size));
    const std::size_t room = list_rows(size), at = s.chosen_index();
    if (at < s.first) s.first = at;
    if (at >= s.first + room) s.first = at - room + 1;
    if (s.first + room > s.list.flows.size()) s.first = s.list.flows.size() > room ? s.list.flows.size() - room : 0;
    for (std::size_t i = s.first; i < std::min(s.first + room, s.list.flows.size()); ++i)
        out.push_back(row(s, s.list.flows[i], i == at, size));
    if (s.list.flows.empty()) out.emplace_back(s.filter.empty() ? "  no flow is under way" : "  no flow fits");
}

// A vessel: how full a stage is.
std::string vessel(const stage_row& s) {
    constexpr std::size_t width = 16;
    const double share = s.limit  ? std::min(1.0, static_cast<double>(s.held) / static_cast<double>(s.limit))
                         : s.held ? 1.0
                                  : 0.0;
    const auto filled = static_cast<std::size_t>(std::ceil(share * static_cast<double>(width)));
    return "[" + std::string(filled, s.limit ? '#' : '/') + std::string(width - filled, ' ') + "]";
}

void draw_lane(const state& s, const flow_row& f, const lane_row& lane, screen_size size,
               std::vector<std::string>& out) {
    out.push_back(line(size.columns, s.colours).put(lane.down ? "to the client" : "from the client", bold).take());
    const judgement j = judge(f);
    for (std::size_t i = 0; i < lane.stages.size(); ++i) {
        const stage_row& stage = lane.stages[i];
        const bool culprit = j.how != judgement::level::fine && lane.blamed && lane.blamed->index == i;
        const std::string_view style = culprit ? red : std::string_view();
        const std::string held = bytes_text(stage.held) + (stage.limit ? " of " + bytes_text(stage.limit) : "");
        line l(size.columns, s.colours);
        l.cell((i == 0 ? "   " : " > ") + stage.name, 16, culprit ? red : bold).cell(vessel(stage), 18, style);
        l.cell(held, 20, style).cell(stage_words(f, lane, i), 30, style);
        const double all = stage.waiting_for_source_ms + stage.working_ms + stage.waiting_for_consumer_ms;
        if (all > 0)
            l.put(fmt::format("waited {} for input, {} for output", percent_text(stage.waiting_for_source_ms / all),
                              percent_text(stage.waiting_for_consumer_ms / all)),
                  dim);
        out.push_back(l.take());
    }
}

void draw_flow(const state& s, screen_size size, std::vector<std::string>& out) {
    const flow_row* f = s.chosen_flow();
    if (!f) {
        out.emplace_back("this flow has ended");
        return;
    }
    if (s.inspected && s.inspected->id == f->id) f = &*s.inspected;
    const judgement j = judge(*f);
    const auto say = [&](const std::string& text, std::string_view style = {}) {
        out.push_back(line(size.columns, s.colours).put(text, style).take());
    };
    say(f->what(), bold);
    say(j.text, style_of(j.how));
    say(fmt::format("flow {}  request {}  route {}  client {}", f->id, f->request_id, f->route, f->client));
    say(fmt::format("{} old, {} to the client, {} from it, status {}", time_text(f->age_ms), bytes_text(f->down),
                    bytes_text(f->up), f->status ? std::to_string(f->status) : "not yet known"));
    if (f->hold_ms) {
        const std::string what =
            f->source.empty() ? "connection to " + f->upstream : "connection to the database " + f->source;
        if (f->holding)
            say("keeps a " + what + " for " + time_text(*f->hold_ms),
                j.how == judgement::level::stalled ? red : std::string_view());
        else
            say(what + " given back after " + time_text(*f->hold_ms), green);
    }
    for (const lane_row& lane : f->lanes) {
        out.emplace_back();
        draw_lane(s, *f, lane, size, out);
    }
    if (!f->transitions.empty()) {
        std::string steps = "what it did:";
        for (const transition& t : f->transitions) steps += fmt::format("  {} at {}", t.what, time_text(t.at_ms));
        out.emplace_back();
        say(steps, dim);
    }
}

void draw_help(std::vector<std::string>& out) {
    for (const char* text :
         {"", "  up, down, j, k    another flow; also page up, page down, Home, End",
          "  Enter             all about this flow, and back", "  x                 abort this flow; asks once",
          "  s, S              the next order, the one before",
          "  /                 show only flows whose target, client or id contains a text",
          "  p                 pause, go on", "  q                 back, or quit", ""})
        out.emplace_back(text);
}

std::string foot(const state& s, screen_size size) {
    line l(size.columns, s.colours);
    if (s.asks == state::prompt::filter) return l.put("only with: ", bold).put(s.typed).put("_", reverse).take();
    if (s.asks == state::prompt::abort) {
        const flow_row* f = s.chosen_flow();
        return l
            .put(fmt::format("abort {}, {}?  y: yes, any other key: no", f ? f->id : "", f ? f->what() : ""), reverse)
            .take();
    }
    if (!s.message.empty()) return l.put(s.message, yellow).take();
    if (s.shows != state::mode::list) return l.put("q back  x abort  p pause", dim).take();
    const std::string count = s.list.matched > s.list.flows.size()
                                  ? fmt::format("{} of {}", s.list.flows.size(), s.list.matched)
                                  : fmt::format("{}", s.list.matched);
    l.put(fmt::format("{} shown, {}", count, orders[s.sorted_by].name));
    if (!s.filter.empty()) l.put(fmt::format(", with \"{}\"", s.filter));
    return l.put("   s order  / filter  Enter inspect  x abort  ? help  q quit", dim).take();
}

} // namespace

std::size_t state::chosen_index() const {
    const auto found = std::ranges::find(list.flows, chosen, &flow_row::id);
    return found == list.flows.end() ? 0 : static_cast<std::size_t>(found - list.flows.begin());
}

const flow_row* state::chosen_flow() const {
    if (list.flows.empty()) return nullptr;
    const flow_row& f = list.flows[chosen_index()];
    return chosen.empty() || shows == mode::list || f.id == chosen ? &f : nullptr;
}

void state::move(std::ptrdiff_t by) {
    if (list.flows.empty()) return;
    const auto last = static_cast<std::ptrdiff_t>(list.flows.size()) - 1;
    const std::ptrdiff_t to = std::clamp(static_cast<std::ptrdiff_t>(chosen_index()) + by, std::ptrdiff_t{0}, last);
    chosen = list.flows[static_cast<std::size_t>(to)].id;
}

std::size_t list_rows(screen_size size) { return size.rows > head_rows + 1 ? size.rows - head_rows - 1 : 1; }

std::vector<std::string> draw(state& s, screen_size size) {
    std::vector<std::string> out;
    draw_head(s, size, out);
    if (s.shows == state::mode::help)
        draw_help(out);
    else if (s.shows == state::mode::inspect)
        draw_flow(s, size, out);
    else
        draw_list(s, size, out);
    out.resize(size.rows > 0 ? size.rows - 1 : 0);
    if (size.rows > 0) out.push_back(foot(s, size));
    return out;
}

std::string headline(const overview& o, const std::vector<flow_row>& flows, bool whole) {
    const flow_row* worst = nullptr;
    for (const flow_row& f : flows)
        if (f.stalled_ms > 0 && (!worst || f.stalled_ms > worst->stalled_ms)) worst = &f;
    if (!worst)
        return o.stalled() && !whole ? fmt::format("{} flows are stalled.", o.stalled())
               : o.flows             ? "Everything flows."
                                     : "Nothing is under way.";
    const std::string since = time_text(worst->stalled_ms);
    const std::string& party = worst->stalled_by;
    std::string text =
        party == "client"     ? fmt::format("The client {} has taken nothing for {}", worst->client, since)
        : party == "upstream" ? fmt::format("The upstream {} has sent nothing for {}", worst->upstream, since)
        : party == "database" ? fmt::format("The database {} has given no rows for {}", worst->source, since)
        : party == "disk"     ? fmt::format("The disk has kept a flow waiting for {}", since)
                              : fmt::format("The stage {} has moved nothing for {}",
                                        worst->blamed ? worst->blamed->stage : std::string(), since);
    return text + ", and " + bytes_text(worst->held) + " are held for it.";
}

} // namespace headgate::gateway::top
