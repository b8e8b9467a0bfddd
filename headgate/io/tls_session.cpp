#include <headgate/io/tls_session.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace headgate::detail {

namespace {

// The first bytes after a pause go out in records that fit into one packet each: a client can use each as it arrives,
// and need not wait for the last packet of a large one, which may have to be sent again. Then records are as large as
// allowed, less what makes a whole one fit into a buffer of 16 KiB.
constexpr std::size_t small_record = 1'380;
constexpr std::size_t full_record = 16'320;
constexpr std::size_t record_overhead_max = 64;
constexpr std::size_t small_bytes = 64 * 1024;
constexpr duration burst_pause = std::chrono::seconds(1);

tls_session& of(BIO* b) noexcept { return *static_cast<tls_session*>(BIO_get_data(b)); }

int bio_write(BIO* b, const char* data, int size) {
    of(b).put({data, static_cast<std::size_t>(size)});
    return size;
}

int bio_read(BIO* b, char* to, int size) {
    BIO_clear_retry_flags(b);
    const ssize_t n = of(b).take(to, static_cast<std::size_t>(size));
    if (n == -EAGAIN) BIO_set_retry_read(b);
    return n < 0 ? -1 : static_cast<int>(n);
}

// OpenSSL is not told that there will be no more to read: it would answer with an alert, and refuse to write.
long bio_control(BIO*, int what, long, void*) { return what == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* make_method() noexcept {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "headgate socket");
    if (!m) return nullptr;
    BIO_meth_set_write(m, &bio_write);
    BIO_meth_set_read(m, &bio_read);
    BIO_meth_set_ctrl(m, &bio_control);
    return m;
}

// The first up to `size` bytes of `from`. Small pieces are gathered in `room`, so that a head and a body share a
// record.
std::string_view front_of(std::span<const iovec> from, std::size_t size, std::span<char> room) noexcept {
    const std::string_view first(static_cast<const char*>(from.front().iov_base), from.front().iov_len);
    if (from.size() == 1 || first.size() >= size) return first.substr(0, size);
    std::size_t n = 0;
    for (const iovec& piece : from) {
        const std::size_t part = std::min(piece.iov_len, size - n);
        if (part != 0) std::memcpy(room.data() + n, piece.iov_base, part);
        n += part;
    }
    return {room.data(), n};
}

} // namespace

tls_session::tls_session(slot& s, ssl_st* ssl, tls_resumption* resume) noexcept : slot_(s), ssl_(ssl), resume_(resume) {
    static BIO_METHOD* const method = make_method(); // lives as long as the program
    run = [](ready& r) {
        auto& self = static_cast<tls_session&>(static_cast<io_wait&>(r));
        if (self.flush() || self.unsent() == 0) self.leave();
    };
    SSL_set_app_data(ssl_, this);
    BIO* b = method ? BIO_new(method) : nullptr;
    if (!b) {
        broken_ = make_error_code(std::errc::not_enough_memory);
        return;
    }
    BIO_set_data(b, this);
    BIO_set_init(b, 1);
    SSL_set_bio(ssl_, b, b);
}

// The session is not to be forgotten only because this connection was not ended: without this, OpenSSL would.
tls_session::~tls_session() {
    SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl_);
}

void tls_session::put(std::string_view bytes) noexcept {
    if (unwritable_) return;
    kernel& os = loop::current().os();
    while (!gathering_ && unsent() == 0 && !bytes.empty() && slot_.writable) {
        const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
        const ssize_t n = os.write(slot_.fd, &piece, 1);
        if (n == -EAGAIN) {
            slot_.writable = false;
        } else if (n < 0) {
            unwritable_ = system_error_code(static_cast<int>(-n));
            return;
        } else {
            sent_ += static_cast<std::uint64_t>(n);
            bytes.remove_prefix(static_cast<std::size_t>(n));
        }
    }
    if (bytes.empty()) return;
    try {
        keep(bytes);
    } catch (const std::bad_alloc&) {
        unwritable_ = make_error_code(std::errc::not_enough_memory); // the record is torn: nothing can follow it
    }
}

void tls_session::keep(std::string_view bytes) {
    if (out_.size() - out_end_ < bytes.size()) {
        chunk wider(std::max(unsent() + bytes.size(), gathering_ ? chunk_medium : 0));
        if (unsent() != 0) std::memcpy(wider.data(), out_.data() + out_begin_, unsent());
        out_end_ = unsent();
        out_begin_ = 0;
        out_ = std::move(wider);
    }
    std::memcpy(out_.data() + out_end_, bytes.data(), bytes.size());
    out_end_ += bytes.size();
}

ssize_t tls_session::take(char* to, std::size_t bytes) noexcept {
    if (!slot_.readable) return -EAGAIN; // as the kernel has said
    const ssize_t n = loop::current().os().read(slot_.fd, to, bytes);
    if (n == -EAGAIN) slot_.readable = false;
    if (n == 0) unreadable_ = errc::premature_close; // after a close_notify nobody asks
    if (n >= 0 && static_cast<std::size_t>(n) < bytes && !slot_.peer_closed) slot_.readable = false;
    if (n < 0 && n != -EAGAIN) unreadable_ = system_error_code(static_cast<int>(-n));
    return n;
}

// Why a call of OpenSSL's has failed: empty if it only waits. If it was not the system that failed, the peer is told.
std::error_code tls_session::fail(int result) noexcept {
    const int what = SSL_get_error(ssl_, result);
    if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_ZERO_RETURN) return {};
    if (unreadable_) return unreadable_;
    const unsigned long first = ERR_peek_error();
    const bool rejected = ERR_GET_LIB(first) == ERR_LIB_SSL && ERR_GET_REASON(first) == SSL_R_CERTIFICATE_VERIFY_FAILED;
    const std::error_code said = take_openssl_error();
    broken_ = rejected ? std::error_code(static_cast<int>(SSL_get_verify_result(ssl_)), certificate_category()) : said;
    static_cast<void>(flush()); // the alert, if it can be sent
    return broken_;
}

result<bool> tls_session::shake_hands() {
    if (const std::error_code e = read_error()) return std::unexpected(e);
    if (!SSL_is_init_finished(ssl_)) {
        ERR_clear_error();
        const int r = SSL_do_handshake(ssl_);
        if (r != 1 && SSL_get_error(ssl_, r) == SSL_ERROR_ZERO_RETURN) broken_ = errc::premature_close;
        if (r != 1 && !broken_) static_cast<void>(fail(r));
        if (const std::error_code e = read_error()) return std::unexpected(e);
    }
    if (const std::error_code e = flush()) return std::unexpected(e);
    if (!SSL_is_init_finished(ssl_)) return false;
    if (SSL_has_pending(ssl_)) slot_.readable = true; // what came with the end of the handshake
    return true;
}

std::optional<result<std::size_t>> tls_session::read(std::span<char> to) {
    std::size_t got = 0;
    while (got < to.size() && !read_error() && !peer_ended_) {
        std::size_t n = 0;
        ERR_clear_error();
        const int r = SSL_read_ex(ssl_, to.data() + got, to.size() - got, &n);
        got += n;
        if (r == 1) continue;
        peer_ended_ = SSL_get_error(ssl_, r) == SSL_ERROR_ZERO_RETURN;
        if (!peer_ended_ && !fail(r)) break; // no whole record yet
    }
    const bool more = read_error() || peer_ended_ || (got == to.size() && SSL_has_pending(ssl_));
    if (more) slot_.readable = true;
    if (got != 0 || to.empty() || peer_ended_) return got;
    if (const std::error_code e = read_error()) return std::unexpected(e);
    return std::nullopt;
}

bool tls_session::readable() {
    if (read_error() || peer_ended_ || SSL_pending(ssl_) > 0) return true;
    char first;
    std::size_t n = 0;
    ERR_clear_error();
    const int r = SSL_peek_ex(ssl_, &first, 1, &n);
    if (r == 1) return slot_.readable = true;
    peer_ended_ = SSL_get_error(ssl_, r) == SSL_ERROR_ZERO_RETURN;
    const bool any = peer_ended_ || fail(r);
    slot_.readable = any || slot_.readable;
    return any;
}

result<socket_layer::written> tls_session::write(std::span<iovec>& from) {
    const std::uint64_t before = sent_;
    for (;;) {
        if (const std::error_code e = flush()) return std::unexpected(e);
        if (unsent() != 0) return written{.all = false, .moved = sent_ != before};
        remove_front(from, 0);
        if (from.empty()) return written{.all = true, .moved = sent_ != before};
        if (const std::error_code e = encrypt(from)) return std::unexpected(e);
    }
}

// One record, or as many small ones as fit into one buffer, to be sent together.
std::error_code tls_session::encrypt(std::span<iovec>& from) {
    if (broken_) return broken_;
    const time_point now = executor::current().turn_time();
    if (now - wrote_at_ >= burst_pause) burst_ = 0;
    wrote_at_ = now;
    const bool small = burst_ < small_bytes;
    const std::size_t size = small ? small_record : full_record;
    std::array<char, full_record> room;
    do {
        const std::string_view record = front_of(from, size, room);
        const std::size_t first = from.front().iov_len;
        gathering_ = small && (from.size() > 1 ? record.size() == size : first > size);
        std::size_t n = 0;
        ERR_clear_error();
        if (const int r = SSL_write_ex(ssl_, record.data(), record.size(), &n); r != 1) {
            gathering_ = false;
            if (const std::error_code e = fail(r)) return e;
            return broken_ = errc::protocol; // it would have to read first, which only renegotiation does
        }
        remove_front(from, n);
        burst_ += n;
    } while (gathering_ && !from.empty() && burst_ < small_bytes &&
             unsent() + small_record + record_overhead_max <= chunk_medium);
    gathering_ = false;
    return {};
}

std::error_code tls_session::flush() {
    kernel& os = loop::current().os();
    while (!unwritable_ && unsent() != 0 && slot_.writable) {
        const iovec piece{out_.data() + out_begin_, unsent()};
        const ssize_t n = os.write(slot_.fd, &piece, 1);
        if (n == -EAGAIN) {
            slot_.writable = false;
        } else if (n < 0) {
            unwritable_ = system_error_code(static_cast<int>(-n));
        } else {
            sent_ += static_cast<std::uint64_t>(n);
            out_begin_ += static_cast<std::size_t>(n);
        }
    }
    if (unwritable_) out_begin_ = out_end_;
    if (unsent() == 0) {
        out_ = chunk();
        out_begin_ = out_end_ = 0;
    }
    if (unwritable_) return unwritable_;
    if (!ending_ || ended_ || unsent() != 0) return {};
    ended_ = true;
    return system_error_code(-os.shutdown(slot_.fd, SHUT_WR));
}

std::error_code tls_session::end() {
    if (ending_) return {};
    ending_ = true;
    if (!broken_ && SSL_is_init_finished(ssl_)) {
        ERR_clear_error();
        SSL_shutdown(ssl_);
        ERR_clear_error();
    }
    const std::error_code e = flush();
    if (unsent() != 0) enter(slot_.writing);
    return e;
}

} // namespace headgate::detail
