#pragma once

#include <headgate/io/loop.hpp>
#include <headgate/io/tls.hpp>

struct ssl_st;

// The inside of io/tls.hpp.
namespace headgate::detail {

// TLS on one descriptor: OpenSSL, with this loop's kernel below it. OpenSSL is never told that there is no room to
// write: what the system does not take at once is kept here, at most one record or a batch of small ones beyond the
// handshake, and sent first next time. So a write that is dropped leaves nothing that the next one must know, and
// nobody has to read in order to write.
class tls_session final : public socket_layer, io_wait {
public:
    // Takes over `ssl`.
    tls_session(slot& s, ssl_st* ssl, tls_resumption* resume) noexcept;
    tls_session(const tls_session&) = delete;
    tls_session& operator=(const tls_session&) = delete;
    ~tls_session() override;

    // Goes on with the handshake, and says whether it is complete. If not, it waits for bytes of the peer.
    result<bool> shake_hands();

    std::optional<result<std::size_t>> read(std::span<char> to) override;
    bool readable() override;
    result<written> write(std::span<iovec>& from) override;
    std::size_t unsent() const noexcept override { return out_end_ - out_begin_; }
    std::error_code flush() override;
    std::error_code end() override;

    tls_facts facts() const;
    bool resumed() const noexcept;
    // After the handshake of a client that resumes.
    void keep_accepted() noexcept;

    // What OpenSSL calls: bytes that it wants to send, and to receive (-EAGAIN, as the system).
    void put(std::string_view bytes) noexcept;
    ssize_t take(char* to, std::size_t bytes) noexcept;
    // Takes over a session that the server has sent, if there is somebody to keep it for.
    bool keep(ssl_session_st* sent) noexcept {
        if (resume_) resume_->keep(sent), kept_ = true;
        return resume_ != nullptr;
    }

private:
    std::error_code fail(int result) noexcept;
    std::error_code read_error() const noexcept { return unreadable_ ? unreadable_ : broken_; }
    std::error_code encrypt(std::span<iovec>& from);
    void keep(std::string_view bytes);

    slot& slot_;
    ssl_st* ssl_;
    tls_resumption* resume_;
    std::error_code broken_;     // why TLS cannot go on
    std::error_code unreadable_; // what the system says to reads; errc::premature_close after a FIN
    std::error_code unwritable_; // and to writes
    bool peer_ended_ = false;    // close_notify
    bool ending_ = false;        // ours is said
    bool ended_ = false;         // and the descriptor's direction is ended
    bool gathering_ = false;     // more is coming: nothing is sent yet
    bool kept_ = false;          // the server has sent a session
    chunk out_;                  // encrypted, not yet taken by the system
    std::size_t out_begin_ = 0;
    std::size_t out_end_ = 0;
    std::uint64_t sent_ = 0; // bytes that the system has taken, ever
    std::size_t burst_ = 0;  // bytes encrypted since the last pause
    time_point wrote_at_{};
};

} // namespace headgate::detail
