#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include <libfyaml.h>

#include <gateway/config/plain_text.hpp>
#include <gateway/config/yaml.hpp>

namespace headgate::gateway {

namespace {

config_mark mark_of(const fy_mark* m) noexcept {
    if (!m || m->line < 0 || m->column < 0) return {1, 1};
    return {static_cast<std::uint32_t>(m->line) + 1, static_cast<std::uint32_t>(m->column) + 1};
}

std::string text_of(fy_token* t) {
    std::size_t size = 0;
    const char* text = t ? fy_token_get_text(t, &size) : nullptr;
    return text ? std::string(text, size) : std::string();
}

// The value of a scalar in single quotes (YAML 1.2, section 7.3.2), from what stands between them. libfyaml 0.7.12
// would lose memory over one with many ''.
std::string single_quoted(std::string_view raw) {
    std::string out;
    while (!raw.empty()) {
        const char c = raw.front();
        if (c == '\'') { // the first of two
            out += c;
            raw.remove_prefix(std::min<std::size_t>(2, raw.size()));
        } else if (c == '\n' || c == '\r') { // one line break is a space; of several, the first is nothing
            const std::size_t end = std::min(raw.find_first_not_of(" \t\r\n"), raw.size());
            const auto breaks = std::ranges::count(raw.substr(0, end), '\n');
            out.resize(out.find_last_not_of(" \t") + 1);
            breaks == 1 ? out.append(1, ' ') : out.append(static_cast<std::size_t>(breaks) - 1, '\n');
            raw.remove_prefix(end);
        } else {
            out += c;
            raw.remove_prefix(1);
        }
    }
    return out;
}

struct deleter {
    void operator()(fy_parser* p) const noexcept { fy_parser_destroy(p); }
    void operator()(fy_diag* d) const noexcept { fy_diag_destroy(d); }
};
using diagnostics = std::unique_ptr<fy_diag, deleter>;

// Errors are collected, not printed.
diagnostics make_diagnostics() {
    fy_diag_cfg c{};
    fy_diag_cfg_default(&c);
    c.fp = nullptr;
    c.output_fn = [](fy_diag*, void*, const char*, std::size_t) {};
    c.level = FYET_ERROR;
    diagnostics d(fy_diag_create(&c));
    if (d) fy_diag_set_collect_errors(d.get(), true);
    return d;
}

std::size_t size_of(const yaml_node& n) {
    std::size_t size = 1;
    for (const yaml_node& k : n.keys) size += size_of(k);
    for (const yaml_node& i : n.items) size += size_of(i);
    return size;
}

// Makes the tree from the parser's events. libfyaml's own documents would tell only the first duplicate key, and would
// follow aliases without a bound.
class builder {
public:
    builder(std::string_view text, config_errors& errors) : text_(text), errors_(errors) {}

    yaml_node build() {
        const diagnostics d = make_diagnostics();
        fy_parse_cfg c{};
        c.flags = static_cast<fy_parse_cfg_flags>(FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE);
        c.diag = d.get();
        const std::unique_ptr<fy_parser, deleter> parser(d ? fy_parser_create(&c) : nullptr);
        if (!parser || fy_parser_set_string(parser.get(), text_.data(), text_.size()) != 0) throw std::bad_alloc();
        while (!ended_ && !stopped_) {
            fy_event* e = fy_parser_parse(parser.get());
            if (!e) {
                report(*d);
                break;
            }
            take(*e);
            fy_parser_event_free(parser.get(), e);
        }
        return ended_ ? std::move(root_) : yaml_node{};
    }

private:
    struct level {
        yaml_node node;
        std::string anchor;
        std::optional<yaml_node> key{};                           // of a map, until its value is there
        std::map<std::string, config_mark, std::less<>> places{}; // of a map's keys
    };
    struct anchored {
        yaml_node node;
        std::size_t size;
    };

    void stop(config_mark at, std::string message) {
        if (!std::exchange(stopped_, true)) errors_.add(at, std::move(message));
    }

    void count(std::size_t nodes, config_mark at) {
        nodes_ += nodes;
        if (nodes_ > yaml_nodes_max)
            stop(at, "this is too much: more than " + std::to_string(yaml_nodes_max) + " values, aliases included");
    }

    void report(fy_diag& d) {
        void* at = nullptr;
        const fy_diag_error* e = fy_diag_errors_iterate(&d, &at);
        if (!e) return stop({1, 1}, "this is not YAML");
        const fy_mark m{0, e->line, e->column};
        std::string message = "this is not YAML: " + printable(e->msg ? e->msg : "it cannot be read");
        if (line(e->line).contains("${")) message += "; between brackets or braces, a ${...} must stand in quotes";
        stop(mark_of(&m), std::move(message));
    }

    // A line of the file, from 0.
    std::string_view line(int number) const {
        std::string_view rest = text_;
        for (; number > 0 && !rest.empty(); --number)
            rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
        return rest.substr(0, rest.find('\n'));
    }

    void take(fy_event& e) {
        const config_mark at = mark_of(fy_event_start_mark(&e));
        using enum yaml_node::type;
        switch (e.type) {
        case FYET_STREAM_END: ended_ = true; break;
        case FYET_DOCUMENT_START:
            if (documents_++ != 0) stop(at, "a second document begins here; a configuration is one document");
            break;
        case FYET_SCALAR: take_scalar(e, at); break;
        case FYET_SEQUENCE_START: open(make(list, at, e.sequence_start.tag), text_of(e.sequence_start.anchor)); break;
        case FYET_MAPPING_START: open(make(map, at, e.mapping_start.tag), text_of(e.mapping_start.anchor)); break;
        case FYET_SEQUENCE_END:
        case FYET_MAPPING_END: close(); break;
        case FYET_ALIAS: alias(at, text_of(e.alias.anchor)); break;
        default: break;
        }
    }

    yaml_node make(yaml_node::type what, config_mark at, const fy_token* tag) {
        if (tag) errors_.add(at, "a tag (!...) has no meaning here; leave it out");
        count(1, at);
        yaml_node n;
        n.what = what;
        n.at = at;
        return n;
    }

    void take_scalar(fy_event& e, config_mark at) {
        const fy_event_scalar_data& s = e.scalar;
        const fy_scalar_style style = s.value ? fy_token_scalar_style(s.value) : FYSS_PLAIN;
        yaml_node n = make(yaml_node::type::scalar, at, s.tag);
        n.text = style == FYSS_SINGLE_QUOTED ? single_quoted(between(e)) : text_of(s.value);
        if (style == FYSS_PLAIN && (n.text.empty() || n.text == "~" || n.text == "null"))
            n.what = yaml_node::type::null;
        finish(std::move(n), text_of(s.anchor));
    }

    // The text of the file from the event's start to its end.
    std::string_view between(fy_event& e) const {
        const fy_mark* from = fy_event_start_mark(&e);
        const fy_mark* to = fy_event_end_mark(&e);
        if (!from || !to || from->input_pos > to->input_pos || to->input_pos > text_.size()) return {};
        return text_.substr(from->input_pos, to->input_pos - from->input_pos);
    }

    void open(yaml_node n, std::string anchor) {
        if (open_.size() == yaml_depth_max)
            return stop(n.at, "this is too much: more than " + std::to_string(yaml_depth_max) + " levels");
        open_.push_back({std::move(n), std::move(anchor)});
    }

    void close() {
        if (open_.empty()) return;
        level l = std::move(open_.back());
        open_.pop_back();
        finish(std::move(l.node), l.anchor);
    }

    // Puts a whole value where it belongs.
    void finish(yaml_node n, const std::string& anchor) {
        if (!anchor.empty()) {
            const std::size_t size = size_of(n);
            count(size, n.at);
            if (!stopped_) anchors_.insert_or_assign(anchor, anchored{n, size});
        }
        if (stopped_) return;
        if (open_.empty()) {
            root_ = std::move(n);
            return;
        }
        level& l = open_.back();
        if (l.node.list())
            l.node.items.push_back(std::move(n));
        else if (!l.key)
            l.key = std::move(n);
        else
            add_entry(l, std::move(n));
    }

    void add_entry(level& l, yaml_node value) {
        yaml_node key = std::move(*l.key);
        l.key.reset();
        if (!key.scalar()) return errors_.add(key.at, "a key must be a word, not " + std::string(key.kind()));
        const auto [first, is_new] = l.places.emplace(key.text, key.at);
        if (!is_new)
            return errors_.add(key.at, key.shown() + " is given twice; the first is on line " +
                                           std::to_string(first->second.line));
        l.node.keys.push_back(std::move(key));
        l.node.items.push_back(std::move(value));
    }

    void alias(config_mark at, const std::string& name) {
        const auto found = anchors_.find(name);
        if (found == anchors_.end()) return stop(at, "there is no anchor '&" + printable(name) + "' before this");
        count(found->second.size, at);
        if (!stopped_) finish(found->second.node, {});
    }

    std::string_view text_;
    config_errors& errors_;
    std::vector<level> open_;
    std::map<std::string, anchored, std::less<>> anchors_;
    yaml_node root_;
    std::size_t nodes_ = 0;
    int documents_ = 0;
    bool ended_ = false;
    bool stopped_ = false;
};

} // namespace

std::string_view yaml_node::kind() const noexcept {
    switch (what) {
    case type::null: return "nothing";
    case type::scalar: return "a single value";
    case type::list: return "a list";
    case type::map: return "keys and values";
    }
    return "";
}

std::string yaml_node::shown() const { return "'" + printable(secret ? written : text) + "'"; }

bool yaml_node::has_broken() const noexcept { return broken || std::ranges::any_of(items, &yaml_node::has_broken); }

const yaml_node* yaml_node::find(std::string_view key) const noexcept {
    for (std::size_t i = 0; i < keys.size(); ++i)
        if (keys[i].text == key) return &items[i];
    return nullptr;
}

yaml_node parse_yaml(std::string_view text, config_errors& errors) {
    if (text.size() > yaml_bytes_max) {
        errors.add({}, "is longer than " + std::to_string(yaml_bytes_max >> 20) + " MiB");
        return {};
    }
    if (auto fault = find_fault(text)) {
        errors.add(fault->at, std::move(fault->message));
        return {};
    }
    return builder(text, errors).build();
}

} // namespace headgate::gateway
