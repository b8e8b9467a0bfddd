#include <headgate/io/resolver.hpp>
#include <headgate/io/srv_records.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>

namespace headgate {

namespace {

class resolver_category_type final : public std::error_category {
public:
    const char* name() const noexcept override { return "resolver"; }
    std::string message(int value) const override {
        switch (value) {
        case ARES_ENOTFOUND: return "name not found";
        case ARES_ENODATA: return "name has no address";
        case ARES_ETIMEOUT: return "no answer from the DNS servers in time";
        case ARES_ECONNREFUSED: return "no DNS server could answer"; // unreachable, failed or refused: it does not tell
        case ARES_EBADRESP: return "malformed answer from the DNS server";
        case ARES_EBADNAME: return "not a valid name";
        default: return ::ares_strerror(value);
        }
    }
};

std::error_code resolver_error(int status) noexcept {
    if (status == ARES_ENOMEM) return make_error_code(std::errc::not_enough_memory);
    return {status, resolver_category()};
}

void check(int status, const char* what) {
    if (status != ARES_SUCCESS) throw std::system_error(resolver_error(status), what);
}

// c-ares reads tables of its own the first time it is used; that is not safe for threads, so it happens once.
void use_library() {
    static const int status = ::ares_library_init(ARES_LIB_INIT_ALL);
    check(status, "cannot use c-ares");
}

bool parse_literal(std::string_view host, std::uint16_t port, address& out) noexcept {
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    char text[INET6_ADDRSTRLEN]{};
    if (host.size() >= sizeof text) return false;
    std::memcpy(text, host.data(), host.size());
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        out = address(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
    } else if (::inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        v6.sin6_family = AF_INET6;
        out = address(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
    } else {
        return false;
    }
    out.set_port(port);
    return true;
}

// What a lookup has found: one of them.
struct lookup_answer {
    found_addresses addresses{};
    found_records records{};
};

// As c-ares takes a list of servers: a comma between them.
std::string server_list(const std::vector<address>& servers) {
    std::string list;
    for (const address& s : servers) list += (list.empty() ? "" : ",") + s.text();
    return list;
}

} // namespace

const std::error_category& resolver_category() noexcept {
    static const resolver_category_type category;
    return category;
}

// One lookup, in the frame that waits for it: an awaiter. It has a c-ares channel of its own, because a channel can
// only be cancelled as a whole. c-ares makes its sockets through the functions below, so they are the loop's like all
// others.
class resolver::lookup {
public:
    using answer = lookup_answer;
    enum class kind : std::uint8_t { addresses, services };

    lookup(resolver& home, kind what, const std::string& host, std::uint16_t port, duration limit)
        : home_(home), what_(what), host_(host), port_(port), limit_(limit) {
        ++home_.lookups_;
        retry_.self = deadline_.self = this;
        retry_.fire = [](timer& t) {
            lookup& self = *static_cast<own_timer&>(t).self;
            self.process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        };
        deadline_.fire = [](timer& t) {
            lookup& self = *static_cast<own_timer&>(t).self;
            self.end(std::unexpected(make_error_code(errc::timed_out)));
            self.h_.resume();
        };
    }
    lookup(const lookup&) = delete;
    ~lookup() {
        done_ = true; // what c-ares reports while it goes away is of no interest
        if (channel_) ::ares_destroy(channel_);
        --home_.lookups_;
    }

    bool await_ready() {
        if (const int status = ::ares_dup(&channel_, home_.settings_); status != ARES_SUCCESS) {
            channel_ = nullptr;
            end(std::unexpected(resolver_error(status)));
            return true;
        }
        static constexpr ares_socket_functions functions{&open, &close, &connect, &receive, &send};
        ::ares_set_socket_functions(channel_, &functions, this);
        if (what_ == kind::services) {
            ::ares_query(channel_, host_.c_str(), ns_c_in, ns_t_srv, &found_services, this);
        } else {
            ares_addrinfo_hints hints{};
            hints.ai_family = AF_UNSPEC;
            hints.ai_socktype = SOCK_STREAM;
            ::ares_getaddrinfo(channel_, host_.c_str(), nullptr, &hints, &found, this);
        }
        return done_;
    }
    void await_suspend(std::coroutine_handle<> h) {
        h_ = h;
        loop::current().arm(deadline_, limit_);
        arm_retry();
    }
    result<answer> await_resume() { return std::move(result_); }

private:
    struct own_timer : timer {
        lookup* self;
    };
    struct own_wait : io_wait {
        lookup* self;
        int fd;
    };
    struct own_socket {
        slot* at;
        own_wait readable;
        own_wait writable;
        address peer;
    };

    void end(result<answer> r) {
        done_ = true;
        result_ = std::move(r);
        retry_.disarm();
        deadline_.disarm();
    }

    static void found(void* arg, int status, int, ares_addrinfo* info) {
        auto& self = *static_cast<lookup*>(arg);
        const std::unique_ptr<ares_addrinfo, decltype(&::ares_freeaddrinfo)> owned(info, &::ares_freeaddrinfo);
        if (self.done_) return;
        if (status != ARES_SUCCESS) {
            self.end(std::unexpected(resolver_error(status)));
            return;
        }
        found_addresses all{.addresses = {}, .ttl = forever};
        for (const ares_addrinfo_node* n = info->nodes; n && all.addresses.size() < self.home_.options_.addresses_max;
             n = n->ai_next) {
            all.addresses.emplace_back(n->ai_addr, n->ai_addrlen);
            all.addresses.back().set_port(self.port_);
            all.ttl = std::min<duration>(all.ttl, std::chrono::seconds(n->ai_ttl));
        }
        if (all.addresses.empty())
            self.end(std::unexpected(resolver_error(ARES_ENODATA)));
        else
            self.end(answer{.addresses = std::move(all)});
    }

    static void found_services(void* arg, int status, int, unsigned char* bytes, int size) {
        auto& self = *static_cast<lookup*>(arg);
        if (self.done_) return;
        if (status != ARES_SUCCESS) return self.end(std::unexpected(resolver_error(status)));
        auto all = detail::read_srv_records({bytes, static_cast<std::size_t>(size)}, self.home_.options_.addresses_max);
        if (!all)
            self.end(std::unexpected(resolver_error(ARES_EBADRESP)));
        else if (all->records.empty())
            self.end(std::unexpected(resolver_error(ARES_ENODATA)));
        else
            self.end(answer{.records = std::move(*all)});
    }

    // Lets c-ares go on, with what one socket can do or with what is overdue. Resumes the waiter, which destroys this,
    // at the end.
    void process(ares_socket_t readable, ares_socket_t writable) {
        ::ares_process_fd(channel_, readable, writable);
        // Our waits are for changes: what c-ares left unread would not be reported again.
        while (!done_ && readable != ARES_SOCKET_BAD && std::exchange(received_, false) && still_readable(readable))
            ::ares_process_fd(channel_, readable, ARES_SOCKET_BAD);
        if (done_)
            h_.resume();
        else
            arm_retry();
    }

    void arm_retry() {
        timeval wait{};
        if (!::ares_timeout(channel_, nullptr, &wait)) return retry_.disarm();
        const duration after = std::chrono::seconds(wait.tv_sec) + std::chrono::microseconds(wait.tv_usec);
        loop::current().arm(retry_, after);
    }

    own_socket* find(int fd) noexcept {
        for (const auto& s : sockets_)
            if (s->at->fd == fd) return s.get();
        return nullptr;
    }
    bool still_readable(int fd) noexcept {
        own_socket* s = find(fd);
        return s && s->at->readable;
    }

    // -1 and errno, as the functions that c-ares calls must say it.
    template <class Number>
    static Number or_errno(Number r) noexcept {
        if (r >= 0) return r;
        errno = static_cast<int>(-r);
        return -1;
    }

    static ares_socket_t open(int family, int type, int, void* arg) {
        auto& self = *static_cast<lookup*>(arg);
        loop& l = loop::current();
        const int fd = l.os().socket(family, type);
        if (fd < 0) return or_errno(fd);
        const result<slot*> at = l.open(fd);
        if (!at) return or_errno(-at.error().value());
        auto s = std::make_unique<own_socket>();
        s->at = *at;
        s->readable.self = s->writable.self = &self;
        s->readable.fd = s->writable.fd = fd;
        s->readable.run = [](ready& r) {
            auto& w = static_cast<own_wait&>(r);
            w.self->process(w.fd, ARES_SOCKET_BAD);
        };
        s->writable.run = [](ready& r) {
            auto& w = static_cast<own_wait&>(r);
            w.self->process(ARES_SOCKET_BAD, w.fd);
        };
        s->readable.enter((*at)->reading);
        s->writable.enter((*at)->writing);
        self.sockets_.push_back(std::move(s));
        return fd;
    }
    static int close(ares_socket_t fd, void* arg) {
        auto& self = *static_cast<lookup*>(arg);
        const auto s = std::ranges::find(self.sockets_, fd, [](const auto& each) { return each->at->fd; });
        slot& at = *(*s)->at;
        self.sockets_.erase(s);
        loop::current().close(at);
        return 0;
    }
    static int connect(ares_socket_t fd, const sockaddr* to, ares_socklen_t size, void* arg) {
        static_cast<lookup*>(arg)->find(fd)->peer = address(to, size);
        return or_errno(loop::current().os().connect(fd, to, size));
    }
    // All sockets are connected, so whatever comes is from the peer.
    static ares_ssize_t receive(ares_socket_t fd, void* to, std::size_t bytes, int, sockaddr* from,
                                ares_socklen_t* size, void* arg) {
        auto& self = *static_cast<lookup*>(arg);
        own_socket& s = *self.find(fd);
        self.received_ = true;
        const ssize_t n = loop::current().os().read(fd, to, bytes);
        if (n < 0) s.at->readable = false;
        if (from && size) {
            *size = std::min<ares_socklen_t>(*size, s.peer.size());
            std::memcpy(from, s.peer.data(), *size);
        }
        return or_errno(n);
    }
    static ares_ssize_t send(ares_socket_t fd, const iovec* from, int count, void*) {
        return or_errno(loop::current().os().write(fd, from, count));
    }

    resolver& home_;
    kind what_;
    const std::string& host_;
    std::uint16_t port_;
    duration limit_;
    ares_channel channel_ = nullptr;
    std::vector<std::unique_ptr<own_socket>> sockets_; // a few: one or two per server
    own_timer retry_;
    own_timer deadline_;
    bool done_ = false;
    bool received_ = false; // whether c-ares has read since this was last asked
    result<answer> result_;
    std::coroutine_handle<> h_;
};

resolver::resolver(resolver_options o) : options_(std::move(o)) {
    use_library();
    ares_options options{};
    options.timeout = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(options_.try_timeout).count());
    options.tries = options_.tries;
    check(::ares_init_options(&settings_, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES), "cannot set up the resolver");
    if (options_.servers.empty()) return;
    const int status = ::ares_set_servers_ports_csv(settings_, server_list(options_.servers).c_str());
    if (status != ARES_SUCCESS) ::ares_destroy(settings_);
    check(status, "cannot set the DNS servers");
}

resolver::~resolver() { ::ares_destroy(settings_); }

task<result<std::vector<address>>> resolver::resolve(std::string host, std::uint16_t port, duration limit) {
    auto found = co_await lookup_addresses(std::move(host), port, limit);
    if (!found) co_return std::unexpected(found.error());
    co_return std::move(found->addresses);
}

std::error_code resolver::refusal(const std::string& name) const {
    if (name.empty() || name.contains('\0')) return resolver_error(ARES_EBADNAME);
    if (lookups_ >= options_.lookups_max) return make_error_code(errc::overloaded);
    return {};
}

task<result<found_addresses>> resolver::lookup_addresses(std::string host, std::uint16_t port, duration limit) {
    if (address literal; parse_literal(host, port, literal))
        co_return found_addresses{.addresses = {literal}, .ttl = forever};
    if (const auto no = refusal(host)) co_return std::unexpected(no);
    auto found = co_await lookup(*this, lookup::kind::addresses, host, port, limit);
    if (!found) co_return std::unexpected(found.error());
    co_return std::move(found->addresses);
}

task<result<found_records>> resolver::lookup_srv(std::string name, duration limit) {
    if (const auto no = refusal(name)) co_return std::unexpected(no);
    auto found = co_await lookup(*this, lookup::kind::services, name, 0, limit);
    if (!found) co_return std::unexpected(found.error());
    co_return std::move(found->records);
}

} // namespace headgate
