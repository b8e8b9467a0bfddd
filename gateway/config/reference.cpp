#include <algorithm>
#include <set>
#include <vector>

#include <gateway/config/reference.hpp>
#include <gateway/config/scalars.hpp>
#include <gateway/config/tables.hpp>
#include <gateway/units.hpp>

namespace headgate::gateway {

namespace {

std::string link(const config_table& t) {
    std::string anchor(t.name);
    std::ranges::replace(anchor, ' ', '-');
    return "[" + std::string(t.name) + "](#" + anchor + ")";
}

std::string code(std::string_view text) { return "`" + std::string(text) + "`"; }

std::string size(std::int64_t n) { return format_bytes(static_cast<std::size_t>(n)); }

std::string choices(std::span<const std::string_view> all) {
    std::string out;
    for (const std::string_view c : all) out += (out.empty() ? "" : ", ") + code(c);
    return out;
}

std::string items(const config_field& f) { return f.most == 0 ? "" : " of at most " + std::to_string(f.most); }

// What may stand behind the key.
std::string value_of(const config_field& f) {
    switch (f.kind) {
    case config_kind::time: return "time";
    case config_kind::size: return "size, " + size(f.least) + " to " + size(f.most);
    case config_kind::count: return "number, " + std::to_string(f.least) + " to " + std::to_string(f.most);
    case config_kind::flag: return "`true` or `false`";
    case config_kind::choice: return choices(f.choices);
    case config_kind::text: return std::string(f.format->what);
    case config_kind::texts: return "list; each is " + std::string(f.format->what);
    case config_kind::headers:
        if (f.format == &formats::edited_header) return "names and values of fields";
        return "names and values; each name is " + std::string(f.format->what);
    case config_kind::section: return link(*f.table);
    case config_kind::sections: return "list" + items(f) + "; each is " + link(*f.table);
    case config_kind::named: return "names" + items(f) + "; each stands for " + link(*f.table);
    case config_kind::flat: break;
    }
    return "";
}

std::string default_of(const config_field& f, const void* defaults) {
    if (f.required) return "required";
    if (!f.default_text.empty()) return std::string(f.default_text);
    if (!f.load) return "";
    const std::string text = write_scalar(f, f.load(defaults));
    return text.empty() || text == "[]" ? "" : code(text);
}

class page {
public:
    std::string write() {
        add(tables::document);
        return std::move(out_);
    }

private:
    void add(const config_table& t) {
        if (!done_.insert(&t).second) return;
        out_ += (out_.empty() ? "### " : "\n### ") + std::string(t.name) + "\n\n";
        if (!t.doc.empty()) out_ += std::string(t.doc) + "\n\n";
        if (!t.shorthand.empty()) out_ += "A single value stands for its " + code(t.shorthand) + ".\n\n";
        out_ += "| key | value | default | |\n|---|---|---|---|\n";
        const void* defaults = t.built_in();
        for (const config_field& f : t.fields)
            if (f.kind == config_kind::flat)
                out_ += "| | | | and " + link(*f.table) + " |\n";
            else
                out_ += "| " + code(f.key) + " | " + value_of(f) + (f.or_none ? ", or `none` | " : " | ") +
                        default_of(f, defaults) + " | " + std::string(f.doc) + " |\n";
        for (const config_alternatives& a : t.alternatives)
            out_ += "\n" + std::string(a.required ? "Exactly one of " : "At most one of ") + choices(a.keys) + ".\n";
        for (const config_field& f : t.fields)
            if (f.table) add(*f.table);
    }

    std::set<const config_table*> done_;
    std::string out_;
};

} // namespace

std::string config_reference() { return page().write(); }

} // namespace headgate::gateway
