#include <algorithm>
#include <optional>

#include <gateway/config/decode.hpp>
#include <gateway/config/scalars.hpp>
#include <gateway/config/suggest.hpp>

namespace headgate::gateway {

namespace {

class decoder {
public:
    decoder(const config_defaults& defaults, config_places& places, config_errors& errors)
        : defaults_(defaults), places_(places), errors_(errors) {}

    void read(const config_table& table, const yaml_node& from, void* object, const std::string& path) {
        if (from.broken) return;
        if (from.scalar() && !table.shorthand.empty()) return read_shorthand(table, from, object, path);
        if (!from.map() && from.what != yaml_node::type::null)
            return errors_.add(from.at, std::string(table.name) + " is written as keys and values, not as " +
                                            std::string(from.kind()) + keys_hint(table));
        places_.add(path, from.at);
        check_keys(table, from);
        for (const config_field* f : all_fields(table)) {
            const yaml_node* value = from.find(f->key);
            if (!value) {
                if (f->required) errors_.add(from.at, missing(table, *f));
                continue;
            }
            void* at = object;
            find_field(table, f->key, &at);
            read_field(*f, *value, at, path_of(path, f->key));
        }
    }

private:
    static std::string missing(const config_table& table, const config_field& f) {
        return std::string(table.name) + " needs the key '" + std::string(f.key) + "'";
    }

    static std::string keys_hint(const config_table& table) {
        const auto fields = all_fields(table);
        return fields.empty() ? "" : "; for example " + std::string(fields.front()->key) + ": ...";
    }

    void read_shorthand(const config_table& table, const yaml_node& from, void* object, const std::string& path) {
        void* at = object;
        if (const config_field* f = find_field(table, table.shorthand, &at)) {
            places_.add(path, from.at);
            read_field(*f, from, at, path_of(path, f->key));
        }
    }

    // Keys that are not known, and those that exclude each other.
    void check_keys(const config_table& table, const yaml_node& from) {
        for (const yaml_node& key : from.keys) {
            if (find_field(table, key.text)) continue;
            if (errors_.full()) {
                errors_.add(key.at, {});
                continue;
            }
            std::vector<std::string_view> known;
            for (const config_field* f : all_fields(table)) known.push_back(f->key);
            errors_.add(key.at,
                        key.shown() + " is not a key of " + std::string(table.name) + "; " + suggest(key.text, known));
        }
        for (const config_alternatives& a : table.alternatives) {
            const yaml_node* first = nullptr;
            for (const yaml_node& key : from.keys) {
                if (std::ranges::find(a.keys, key.text) == a.keys.end()) continue;
                if (first)
                    errors_.add(key.at, key.shown() + " and " + first->shown() + " exclude each other; keep one");
                else
                    first = &key;
            }
            if (!first && a.required) errors_.add(from.at, std::string(table.name) + " needs " + one_of(a.keys));
        }
    }

    static std::string one_of(std::span<const std::string_view> keys) {
        std::string out = keys.size() == 2 ? "either of the keys " : "one of the keys ";
        for (std::size_t i = 0; i < keys.size(); ++i)
            out += (i == 0 ? "'" : i + 1 == keys.size() ? " or '" : ", '") + std::string(keys[i]) + "'";
        return out;
    }

    void read_field(const config_field& f, const yaml_node& value, void* object, const std::string& path) {
        if (value.broken) return;
        switch (f.kind) {
        case config_kind::section: return read(*f.table, value, f.open(object, defaults_, {}), path);
        case config_kind::sections: return read_sections(f, value, object, path);
        case config_kind::named: return read_named(f, value, object, path);
        case config_kind::texts: return read_texts(f, value, object, path);
        case config_kind::headers: return read_headers(f, value, object, path);
        default: break;
        }
        if (!value.scalar())
            return errors_.add(value.at,
                               "'" + std::string(f.key) + "' must be a single value, not " + std::string(value.kind()));
        if (auto v = scalar(f, value)) {
            f.store(object, std::move(*v));
            places_.add(path, value.at);
        }
    }

    std::optional<config_scalar> scalar(const config_field& f, const yaml_node& value) {
        auto v = read_scalar(f, value.text, value.shown());
        if (v) return std::move(*v);
        errors_.add(value.at, v.error());
        return std::nullopt;
    }

    // Whether it is a list with what the row asks for.
    bool is_list(const config_field& f, const yaml_node& value) {
        if (!value.list()) {
            std::string message = "'" + std::string(f.key) + "' must be a list, not " + std::string(value.kind());
            if (value.scalar()) message += "; write [" + printable(value.secret ? value.written : value.text) + "]";
            errors_.add(value.at, std::move(message));
            return false;
        }
        if (f.most != 0 && value.items.size() > static_cast<std::size_t>(f.most)) {
            errors_.add(value.at, "'" + std::string(f.key) + "' has more than " + std::to_string(f.most) + " items");
            return false;
        }
        if (value.items.size() >= static_cast<std::size_t>(f.least)) return true;
        errors_.add(value.at, "'" + std::string(f.key) + "' is empty; it needs at least one item");
        return false;
    }

    void read_sections(const config_field& f, const yaml_node& value, void* object, const std::string& path) {
        if (!is_list(f, value)) return;
        places_.add(path, value.at);
        for (std::size_t i = 0; i < value.items.size(); ++i) {
            const std::size_t before = errors_.count();
            read(*f.table, value.items[i], f.open(object, defaults_, {}), path_of(path, i));
            if (errors_.count() != before || value.items[i].has_broken()) places_.doubt(path_of(path, i));
        }
    }

    void read_named(const config_field& f, const yaml_node& value, void* object, const std::string& path) {
        if (!value.map())
            return errors_.add(value.at, "'" + std::string(f.key) + "' is written as names and what they stand for, " +
                                             "not as " + std::string(value.kind()));
        if (f.most != 0 && value.items.size() > static_cast<std::size_t>(f.most))
            return errors_.add(value.at,
                               "'" + std::string(f.key) + "' has more than " + std::to_string(f.most) + " items");
        for (std::size_t i = 0; i < value.items.size(); ++i) {
            const yaml_node& key = value.keys[i];
            if (auto name = read_scalar(f, key.text, key.shown()); !name)
                errors_.add(key.at, name.error());
            else
                read(*f.table, value.items[i], f.open(object, defaults_, key.text), path_of(path, key.text));
            places_.add(path_of(path, key.text), key.at);
        }
    }

    void read_texts(const config_field& f, const yaml_node& value, void* object, const std::string& path) {
        if (!is_list(f, value)) return;
        std::vector<std::string> all;
        for (std::size_t i = 0; i < value.items.size(); ++i) {
            const yaml_node& item = value.items[i];
            if (item.broken) continue;
            if (!item.scalar()) {
                errors_.add(item.at, "an item of '" + std::string(f.key) + "' must be a single value, not " +
                                         std::string(item.kind()));
            } else if (auto v = scalar(f, item)) {
                places_.add(path_of(path, all.size()), item.at);
                all.push_back(std::get<std::string>(std::move(*v)));
            }
        }
        f.store(object, std::move(all));
        places_.add(path, value.at);
    }

    void read_headers(const config_field& f, const yaml_node& value, void* object, const std::string& path) {
        if (!value.map())
            return errors_.add(value.at, "'" + std::string(f.key) +
                                             "' is written as names and values of fields, not as " +
                                             std::string(value.kind()));
        const config_field of_value{.kind = config_kind::text, .format = &formats::header_value};
        header_pairs all;
        for (std::size_t i = 0; i < value.items.size(); ++i) {
            const yaml_node& key = value.keys[i];
            const yaml_node& item = value.items[i];
            auto name = read_scalar(f, key.text, key.shown());
            if (!name) errors_.add(key.at, name.error());
            if (item.broken) continue;
            if (!item.scalar()) {
                errors_.add(item.at, key.shown() + " must have a single value, not " + std::string(item.kind()));
            } else if (auto v = scalar(of_value, item); v && name) {
                all.emplace_back(std::get<std::string>(std::move(*name)), std::get<std::string>(std::move(*v)));
            }
        }
        f.store(object, std::move(all));
        places_.add(path, value.at);
    }

    const config_defaults& defaults_;
    config_places& places_;
    config_errors& errors_;
};

} // namespace

const config_field* find_field(const config_table& table, std::string_view key, void** object) {
    for (const config_field& f : table.fields) {
        if (f.kind != config_kind::flat) {
            if (f.key == key) return &f;
            continue;
        }
        static const config_defaults unused;
        void* inner = object ? f.open(*object, unused, {}) : nullptr;
        if (const config_field* found = find_field(*f.table, key, object ? &inner : nullptr)) {
            if (object) *object = inner;
            return found;
        }
    }
    return nullptr;
}

std::vector<const config_field*> all_fields(const config_table& table) {
    std::vector<const config_field*> all;
    for (const config_field& f : table.fields) {
        if (f.kind != config_kind::flat) {
            all.push_back(&f);
            continue;
        }
        for (const config_field* inner : all_fields(*f.table)) all.push_back(inner);
    }
    return all;
}

std::string path_of(std::string_view parent, std::string_view key) {
    return parent.empty() ? std::string(key) : std::string(parent) + "." + std::string(key);
}

std::string path_of(std::string_view parent, std::size_t index) {
    return std::string(parent) + "[" + std::to_string(index) + "]";
}

void decode(const config_table& table, const yaml_node& from, void* object, const config_defaults& defaults,
            config_places& places, config_errors& errors) {
    decoder(defaults, places, errors).read(table, from, object, "");
}

} // namespace headgate::gateway
