#include <headgate/core/abort_watch.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/http/accept_encoding.hpp>
#include <headgate/http/date.hpp>
#include <headgate/http/file_body.hpp>
#include <headgate/http/range.hpp>
#include <headgate/http/token.hpp>
#include <headgate/io/peer_watch.hpp>
#include <headgate/stages/tally.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include <fmt/format.h>
#include <sys/random.h>

#include <gateway/compression.hpp>
#include <gateway/head_parts.hpp>
#include <gateway/mime_types.hpp>
#include <gateway/path.hpp>
#include <gateway/static_files.hpp>

namespace headgate::gateway {

using files::file_facts;
using files::opened_file;
using http::byte_range;
using http::field;

namespace {

constexpr std::size_t ranges_max = 16;  // parts of one answer; who asks for more gets all
constexpr std::size_t head_room = 1024; // of a head, beside what has no bound of its own

// A variant of a file that lies beside it.
struct variant {
    std::string_view coding;
    std::string_view suffix;
};
constexpr std::array<variant, 3> variants{{{"zstd", ".zst"}, {"gzip", ".gz"}, {"br", ".br"}}};

std::string_view suffix_of(std::string_view coding) {
    return std::ranges::find(variants, coding, &variant::coding)->suffix;
}

// A file that was found, and what is to be said of it.
struct found_file {
    opened_file opened;
    std::string name;          // below the root
    std::string_view coding{}; // of a variant, or our own; empty for none
    bool compressing = false;  // it is our own
    bool varies = false;       // others may get another coding
    std::string etag{};
    std::int64_t modified = 0;
    std::int64_t now = 0;
    std::vector<byte_range> parts{}; // none: all of it
};

const file_refusal not_found{404, "there is no such file"};

// Whether an error means that there is nothing to be served, for whatever reason of the request's.
bool is_absent(std::error_code e) {
    switch (e.value()) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:              // a link that is not followed
    case EXDEV:              // it leads out of the root
    case ENXIO: return true; // a socket
    default: return false;
    }
}

task<file_refusal> refusal_of(request& rq, std::error_code e) {
    if (is_absent(e)) co_return not_found;
    if (e.value() == EACCES || e.value() == EPERM) co_return file_refusal{403, "the file may not be read"};
    rq.why = out_of_resources(e) ? cause::overloaded : cause::file_error;
    co_await fail(e, side::source, "the file cannot be opened");
    co_return not_found; // not reached
}

bool is_file(const opened_file& f) { return f.facts.what == file_facts::kind::regular; }

// The file itself; of a folder, its index.
task<std::expected<found_file, file_refusal>> find_file(request& rq, const file_route& r, std::string path,
                                                        std::string_view normal, std::string_view query) {
    const auto follow = r.action.follow_symlinks;
    if (normal.ends_with('/')) {
        if (!path.empty()) path += '/';
        for (const std::string& index : r.action.index) {
            auto f = co_await r.root.find(path + index, follow);
            if (f && is_file(*f)) co_return found_file{std::move(*f), path + index};
            if (!f && !is_absent(f.error())) co_return std::unexpected(co_await refusal_of(rq, f.error()));
        }
        co_return std::unexpected(not_found);
    }
    auto f = co_await r.root.find(path.empty() ? "." : path, follow);
    if (!f) co_return std::unexpected(co_await refusal_of(rq, f.error()));
    if (f->facts.what == file_facts::kind::folder) {
        std::string to = fmt::format("{}/{}", normal, query);
        co_return std::unexpected(file_refusal{301, "it is a folder", {{"Location", std::move(to)}}});
    }
    if (!is_file(*f)) co_return std::unexpected(not_found);
    co_return found_file{std::move(*f), std::move(path)};
}

// Takes the variant that the client wants most instead, if there is one that is not older than the file.
task<> prefer_variant(const file_route& r, const http::header_list& headers, found_file& f) {
    std::vector<std::string_view> codings(r.action.precompressed.begin(), r.action.precompressed.end());
    while (const auto best = http::choose_coding(headers, codings)) {
        const std::string_view coding = codings[*best];
        auto v = co_await r.root.find(f.name + std::string(suffix_of(coding)), r.action.follow_symlinks);
        if (v && is_file(*v) && v->facts.modified >= f.opened.facts.modified) {
            f.opened = std::move(*v);
            f.coding = coding;
            co_return;
        }
        codings.erase(codings.begin() + static_cast<std::ptrdiff_t>(*best));
    }
}

void describe(found_file& f) {
    const file_facts& facts = f.opened.facts;
    f.now = ::time(nullptr);
    f.modified = std::min(facts.modified, f.now);
    f.etag =
        fmt::format("\"{:x}-{:x}-{:x}.{:x}\"", facts.inode, facts.size, facts.modified, facts.modified_nanoseconds);
}

// What the conditions and the Range of the request come to: a status, and the parts to send.
int judge(const http::request_head& head, found_file& f) {
    const http::validators v{f.etag, f.modified};
    switch (http::check_preconditions(head, v, f.now)) {
    case http::precondition::failed: return 412;
    case http::precondition::not_modified: return 304;
    case http::precondition::holds: break;
    }
    const http::header* range = head.find(field::range);
    if (!range || head.method != http::method::get || !http::if_range_holds(head, v, f.now)) return 200;
    auto parts = http::parse_ranges(range->value, f.opened.facts.size, ranges_max);
    if (!parts) return 200;
    if (parts->empty()) return 416;
    f.parts = std::move(*parts);
    return 206;
}

std::string random_boundary() {
    std::array<unsigned char, 16> bytes{};
    static_cast<void>(::getrandom(bytes.data(), bytes.size(), 0));
    return fmt::format("{:02x}", fmt::join(bytes, ""));
}

// What goes out as the body, and what its head says of it.
struct content {
    std::string type;
    std::string range{}; // Content-Range
    std::vector<http::file_piece> pieces{};
    std::string after{};
    std::uint64_t length = 0;
};

content content_of(const found_file& f, const static_action& a) {
    content c{.type = std::string(media_type(f.name, a.mime_types))};
    const std::uint64_t size = f.opened.facts.size;
    if (f.parts.empty()) {
        c.pieces.push_back({0, size});
        c.length = size;
    } else if (f.parts.size() == 1) {
        c.range = http::content_range(f.parts.front(), size);
        c.pieces.push_back({f.parts.front().first, f.parts.front().length});
        c.length = f.parts.front().length;
    } else {
        const std::string boundary = random_boundary();
        for (const byte_range& part : f.parts) {
            http::file_piece p{part.first, part.length};
            p.before = fmt::format("{}--{}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n",
                                   c.pieces.empty() ? "" : "\r\n", boundary, c.type, http::content_range(part, size));
            c.length += p.before.size() + p.bytes;
            c.pieces.push_back(std::move(p));
        }
        c.after = fmt::format("\r\n--{}--\r\n", boundary);
        c.length += c.after.size();
        c.type = "multipart/byteranges; boundary=" + boundary;
    }
    return c;
}

// An empty chunk if a field of it cannot be written.
chunk make_file_head(const request& rq, const static_action& a, const found_file& f, const content& c, int status) {
    const header_edits* const policy = rq.answer_edits.get();
    const std::size_t room = head_room + c.type.size() + (a.cache_control ? a.cache_control->size() : 0) +
                             bytes_of(&a.headers) + bytes_of(policy);
    return write_head(room, [&](http::head_writer& w) {
        const auto put = [&](field id, std::string_view value) {
            const auto same = [id](const auto& h) { return http::same_token(h.first, http::field_name(id)); };
            if (!value.empty() && std::ranges::none_of(a.headers.set, same)) w.add(id, value);
        };
        w.status_line(status);
        if (status != 304) {
            put(field::content_type, c.type);
            if (!f.compressing)
                w.add(field::content_length, c.length);
            else if (rq.client_minor != 0)
                w.add({.how = http::body_framing::kind::chunked});
            put(field::content_range, c.range);
            put(field::content_encoding, f.coding);
        }
        if (!f.compressing) put(field::accept_ranges, "bytes");
        put(field::etag, f.compressing ? "W/" + f.etag : f.etag);
        put(field::last_modified, http::format_date(f.modified));
        if (a.cache_control) put(field::cache_control, *a.cache_control);
        if (f.varies) put(field::vary, "Accept-Encoding");
        put(field::date, http::format_date(f.now));
        add_edits(w, &a.headers);
        add_edits(w, policy);
        w.add(field::via, via);
        w.add(field::x_request_id, rq.id.view());
        add_persistence(w, rq.persistent, rq.client_minor);
    });
}

// Whether the client gets all of the file, compressed here.
void choose_compression(const request& rq, const http::request_head& head, const static_action& a, found_file& f,
                        int status) {
    f.varies = !a.precompressed.empty();
    if (!may_compress(a.compression, media_type(f.name, a.mime_types), f.opened.facts.size)) return;
    f.varies = true;
    if (!f.coding.empty() || rq.verb == http::method::head || (status != 200 && status != 304)) return;
    f.coding = wanted_coding(a.compression, head.headers);
    f.compressing = !f.coding.empty();
}

task<> send_file(request& rq, const file_route& r, found_file f, int status) {
    content c = status == 304 ? content() : content_of(f, r.action);
    if (f.compressing && rq.client_minor == 0 && status != 304) rq.persistent = false;
    chunk head = make_file_head(rq, r.action, f, c, status);
    if (head.empty()) co_await fail(errc::failed, side::source, "the head cannot be written");
    rq.status = status;
    rq.answered = true;
    const pace_limits pace = bounded(r.action.client_pace(), r.on.options());
    rq.flow.enter(flow_phase::body);
    if (status == 304 || rq.verb == http::method::head || c.length == 0) {
        const auto written = co_await rq.client.write_all(head.text(), pace.idle);
        if (!written) co_await fail(idle_if_timed_out(written.error()), side::sink);
        co_return;
    }
    using kind = http::body_framing::kind;
    http::body_framing framing{kind::length, c.length};
    if (f.compressing) framing = {rq.client_minor == 0 ? kind::until_close : kind::chunked};
    http::file_source source{.file = std::move(f.opened.file),
                             .pieces = std::move(c.pieces),
                             .after = std::move(c.after),
                             .chunk_bytes = r.on.options().stream_buffer,
                             .total = f.compressing ? nullptr : &rq.down};
    http::body_sink sink(rq.client, framing, std::move(head), pace);
    tally_counts sent;
    const auto end =
        f.compressing ? co_await pipeline(rq.flow.down().watched(), std::move(source),
                                          encoder(f.coding, r.action.compression.level), tally(&sent), std::move(sink))
                      : co_await pipeline(rq.flow.down().watched(), std::move(source), std::move(sink));
    if (f.compressing) rq.down = sent.bytes;
    if (end) co_return;
    const flow_error& e = end.error();
    co_await fail(e.code, e.where, e.detail);
}

} // namespace

std::optional<std::string> path_below(std::string_view path, std::string_view prefix, bool hidden) {
    if (!path.starts_with('/')) return std::nullopt;
    while (prefix.ends_with('/')) prefix.remove_suffix(1);
    path.remove_prefix(std::min(prefix.size(), path.size()));
    std::string out;
    bool begins = true; // a name
    for (std::size_t i = 0; i < path.size(); ++i) {
        char c = path[i];
        if (c == '/') {
            begins = true;
            if (!out.empty() && i + 1 != path.size()) out += c;
            continue;
        }
        if (c == '%') {
            const int byte = encoded_byte(path, i);
            if (byte <= 0 || byte == '/') return std::nullopt;
            c = static_cast<char>(byte);
            i += 2;
        }
        const bool well_known = out.empty() && has_path_prefix(path.substr(i), ".well-known");
        if (begins && c == '.' && !hidden && !well_known) return std::nullopt;
        begins = false;
        out += c;
    }
    return out;
}

task<std::optional<file_refusal>> serve_file(request& rq, file_route r) {
    place& at = co_await here();
    const peer_watch client_watch(rq.client, at, side::sink);
    const abort_watch drain_watch(rq.life->ended(), at);
    const abort_point by_operator(rq.flow, at);
    co_await checkpoint(); // for a client that has gone already nothing is begun

    const http::request_head& head = rq.parsers->request.head();
    const std::string normal = normal_path(head.path);
    auto path = path_below(normal, normal_path(r.prefix), r.action.hidden_files);
    if (!path) co_return not_found;
    auto found = co_await find_file(rq, r, std::move(*path), normal, head.query);
    if (!found) co_return std::move(found.error());
    if (!r.action.precompressed.empty()) co_await prefer_variant(r, head.headers, *found);
    describe(*found);
    const int status = judge(head, *found);
    if (status == 412) co_return file_refusal{412, "the file is not as the request wants it"};
    if (status == 416)
        co_return file_refusal{416,
                               "the file has none of the bytes asked for",
                               {{"Content-Range", fmt::format("bytes */{}", found->opened.facts.size)}}};
    choose_compression(rq, head, r.action, *found, status);
    rq.in.consume(head.head_bytes);
    rq.parsers.release();
    co_await send_file(rq, r, std::move(*found), status);
    co_return std::nullopt;
}

} // namespace headgate::gateway
