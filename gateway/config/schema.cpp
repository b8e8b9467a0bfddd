#include <algorithm>
#include <initializer_list>
#include <set>
#include <utility>
#include <vector>

#include <gateway/config/scalars.hpp>
#include <gateway/config/schema.hpp>
#include <gateway/config/tables.hpp>

namespace headgate::gateway {

namespace {

// ---- JSON as text

std::string quote(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c; // the tables hold no control characters
    }
    return out + "\"";
}

std::string object(const std::vector<std::pair<std::string, std::string>>& members) {
    std::string out = "{";
    for (const auto& [key, value] : members) out += (out.size() == 1 ? "" : ",") + quote(key) + ":" + value;
    return out + "}";
}

std::string array(const std::vector<std::string>& items) {
    std::string out = "[";
    for (const std::string& i : items) out += (out.size() == 1 ? "" : ",") + i;
    return out + "]";
}

std::string strings(std::span<const std::string_view> all) {
    std::vector<std::string> quoted;
    for (const std::string_view s : all) quoted.push_back(quote(s));
    return array(quoted);
}

// One value per line.
std::string indented(std::string_view json) {
    std::string out;
    std::string line = "\n";
    bool inside = false; // a string
    for (std::size_t i = 0; i < json.size(); ++i) {
        const char c = json[i];
        if (inside) {
            out += c;
            if (c == '\\') out += json[++i];
            inside = c != '"';
        } else if ((c == '{' || c == '[') && json[i + 1] != '}' && json[i + 1] != ']') {
            out += c + (line += "  ");
        } else if ((c == '}' || c == ']') && json[i - 1] != '{' && json[i - 1] != '[') {
            line.resize(line.size() - 2);
            out += line + c;
        } else {
            out += c;
            if (c == ',') out += line;
            if (c == ':') out += ' ';
            inside = c == '"';
        }
    }
    return out + "\n";
}

// ---- the schema

std::string definition_name(const config_table& t) {
    std::string_view name = t.name;
    for (const std::string_view article : {"a ", "an ", "the "})
        if (name.starts_with(article)) name.remove_prefix(article.size());
    std::string out(name);
    std::ranges::replace(out, ' ', '_');
    return out;
}

std::string reference(const config_table& t) { return object({{"$ref", quote("#/$defs/" + definition_name(t))}}); }

std::string number(std::int64_t n) { return std::to_string(n); }

std::string text_value(const text_format& f) {
    if (f.pattern.empty()) return object({{"type", array({quote("string"), quote("number"), quote("boolean")})}});
    const std::string type = f.or_number ? array({quote("string"), quote("number")}) : quote("string");
    return object({{"type", type}, {"pattern", quote(f.pattern)}});
}

std::string choice_value(std::span<const std::string_view> choices) {
    std::vector<std::string> all;
    for (const std::string_view c : choices) {
        all.push_back(quote(c));
        if (std::ranges::all_of(c, [](char digit) { return digit >= '0' && digit <= '9'; })) all.back() = c;
    }
    return object({{"enum", array(all)}});
}

std::string count_value(const config_field& f) {
    return object({{"type", quote("integer")}, {"minimum", number(f.least)}, {"maximum", number(f.most)}});
}

std::string scalar_value(const config_field& f) {
    std::vector<std::string> forms;
    switch (f.kind) {
    case config_kind::time:
        forms.push_back(object({{"type", quote("string")}, {"pattern", quote("^[0-9]+(ms|s|m|h)$")}}));
        break;
    case config_kind::size:
        forms.push_back(count_value(f));
        forms.push_back(object({{"type", quote("string")}, {"pattern", quote("^[0-9]+(B|KiB|MiB|GiB)?$")}}));
        break;
    case config_kind::count: forms.push_back(count_value(f)); break;
    case config_kind::flag: forms.push_back(object({{"type", quote("boolean")}})); break;
    case config_kind::choice: forms.push_back(choice_value(f.choices)); break;
    default: forms.push_back(text_value(*f.format));
    }
    if (f.or_none) forms.push_back(object({{"const", quote("none")}}));
    forms.push_back(object({{"$ref", quote("#/$defs/variable")}}));
    return array(forms);
}

std::string any_of(const std::string& forms) { return object({{"anyOf", forms}}); }

class writer {
public:
    std::string write() {
        const std::string root = body(tables::document);
        std::vector<std::pair<std::string, std::string>> all = {
            {"$schema", quote("https://json-schema.org/draft/2020-12/schema")}, {"title", quote("headgate")}};
        const std::string whole = object(all);
        definitions_.emplace_back(
            "variable",
            object({{"type", quote("string")},
                    {"pattern", quote("\\$\\{")},
                    {"description", quote("${NAME}, ${NAME:-default} or ${file:/path}; $${ is ${ itself.")}}));
        return whole.substr(0, whole.size() - 1) + "," + root.substr(1, root.size() - 2) + "," + quote("$defs") + ":" +
               object(definitions_) + "}";
    }

private:
    // A table as an object, and all tables below it as definitions.
    std::string body(const config_table& t) {
        std::vector<std::pair<std::string, std::string>> properties;
        std::vector<std::string> required;
        add_properties(t, t.built_in(), properties, required);
        std::vector<std::string> rules;
        for (const config_alternatives& a : t.alternatives) rules.push_back(exclusive(a));
        const bool optional = required.empty() && std::ranges::none_of(t.alternatives, &config_alternatives::required);

        std::vector<std::pair<std::string, std::string>> all;
        all.emplace_back("type", optional ? array({quote("object"), quote("null")}) : quote("object"));
        if (!t.doc.empty()) all.emplace_back("description", quote(t.doc));
        all.emplace_back("properties", object(properties));
        if (!required.empty()) all.emplace_back("required", array(required));
        all.emplace_back("additionalProperties", "false");
        if (!rules.empty()) all.emplace_back("allOf", array(rules));
        return object(all);
    }

    static std::string exclusive(const config_alternatives& a) {
        if (!a.required) return object({{"not", object({{"required", strings(a.keys)}})}}); // there are two
        std::vector<std::string> each;
        for (const std::string_view& key : a.keys) each.push_back(object({{"required", strings({&key, 1})}}));
        return object({{"oneOf", array(each)}});
    }

    void add_properties(const config_table& t, const void* defaults,
                        std::vector<std::pair<std::string, std::string>>& properties,
                        std::vector<std::string>& required) {
        for (const config_field& f : t.fields) {
            if (f.kind == config_kind::flat) {
                add_properties(*f.table, f.peek(defaults), properties, required);
                continue;
            }
            properties.emplace_back(f.key, property(f, defaults));
            if (f.required) required.push_back(quote(f.key));
        }
    }

    std::string property(const config_field& f, const void* defaults) {
        std::vector<std::pair<std::string, std::string>> all{{"description", quote(f.doc)}};
        switch (f.kind) {
        case config_kind::section:
            define(*f.table);
            all.emplace_back("$ref", quote("#/$defs/" + definition_name(*f.table)));
            break;
        case config_kind::sections:
            define(*f.table);
            all.emplace_back("type", quote("array"));
            all.emplace_back("minItems", number(f.least));
            if (f.most != 0) all.emplace_back("maxItems", number(f.most));
            all.emplace_back("items", reference(*f.table));
            break;
        case config_kind::named:
            define(*f.table);
            all.emplace_back("type", quote("object"));
            if (f.most != 0) all.emplace_back("maxProperties", number(f.most));
            all.emplace_back("propertyNames", text_value(*f.format));
            all.emplace_back("additionalProperties", reference(*f.table));
            break;
        case config_kind::texts:
            all.emplace_back("type", quote("array"));
            all.emplace_back("minItems", number(f.least));
            all.emplace_back("items", any_of(scalar_value(f)));
            break;
        case config_kind::headers:
            all.emplace_back("type", quote("object"));
            all.emplace_back("propertyNames", text_value(*f.format));
            all.emplace_back("additionalProperties", text_value(formats::header_value));
            break;
        default:
            all.emplace_back("anyOf", scalar_value(f));
            if (f.default_text.empty() && !f.required)
                if (const std::string text = write_scalar(f, f.load(defaults)); !text.empty())
                    all.emplace_back("default", default_value(f, text));
        }
        return object(all);
    }

    static std::string default_value(const config_field& f, const std::string& text) {
        const bool bare = (f.kind == config_kind::count && text != "none") || f.kind == config_kind::flag ||
                          (f.kind == config_kind::choice && text.find_first_not_of("0123456789") == std::string::npos);
        return bare ? text : quote(text);
    }

    void define(const config_table& t) {
        if (!defined_.insert(&t).second) return;
        std::string form = body(t);
        if (!t.shorthand.empty()) form = any_of(array({any_of(scalar_value(*find_field(t, t.shorthand))), form}));
        definitions_.emplace_back(definition_name(t), std::move(form));
    }

    std::set<const config_table*> defined_;
    std::vector<std::pair<std::string, std::string>> definitions_;
};

} // namespace

std::string config_schema() { return indented(writer().write()); }

} // namespace headgate::gateway
