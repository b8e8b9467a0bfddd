#pragma once

#include <headgate/core/nursery.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/http/body.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/listener.hpp>
#include <headgate/testing/leak_check.hpp>
#include <headgate/testing/leftovers.hpp>
#include <headgate/testing/temporary_folder.hpp>

#include <memory>
#include <stdexcept>
#include <string>

// What the tests of the rows of the mission share: each row is shown on real sockets and files, with a control, the
// same flow written the naive way, for which the same check must report the leak.
namespace headgate::rows {

// A stand-in for a database: what its pool of connections and its cursors can be asked from outside.
struct database {
    std::size_t leased = 0;  // connections that are not in the pool
    std::size_t queries = 0; // begun
    std::size_t rows = 0;    // produced by all queries
};

// A connection out of the pool; goes back when destroyed.
class lease {
public:
    explicit lease(database& of) noexcept : of_(&of) { ++of_->leased; }
    lease(lease&& o) noexcept : of_(std::exchange(o.of_, nullptr)) {}
    lease& operator=(lease&&) = delete;
    ~lease() {
        if (of_) --of_->leased;
    }

private:
    database* of_;
};

struct row {
    std::size_t id;
    std::string text;
};

inline constexpr std::size_t row_bytes = 200;    // of text
inline constexpr std::size_t many_rows = 20'000; // 4 MB

// A cursor: one row per turn of the loop, and a connection of the pool held from the first to the last.
inline stream<row> query(database* db, std::size_t rows) {
    const lease connection(*db);
    ++db->queries;
    for (std::size_t id = 0; id < rows; ++id) {
        co_await next_turn();
        ++db->rows;
        co_yield row{id, std::string(row_bytes, static_cast<char>('a' + id % 26))};
    }
}

inline stream<chunk> format_csv(stream<row> in) {
    while (auto r = co_await in.next()) co_yield chunk(std::to_string(r->id) + "," + r->text + "\n");
}

// The text of that many rows.
inline std::string csv_of(std::size_t rows) {
    std::string text;
    for (std::size_t id = 0; id < rows; ++id)
        text += std::to_string(id) + "," + std::string(row_bytes, static_cast<char>('a' + id % 26)) + "\n";
    return text;
}

// An HTTP response as a sink: chunked, and reset if it is not finished.
class response {
public:
    explicit response(socket client)
        : client_(std::make_unique<socket>(std::move(client))),
          body_(*client_, {.how = http::body_framing::kind::chunked},
                chunk("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), pace_limits{}) {}
    response(response&&) = default;
    response& operator=(response&&) = delete;
    ~response() {
        if (client_ && *client_ && !finished_) client_->reset();
    }

    task<> write(chunk item) { return body_.write(std::move(item)); }
    task<> finish() {
        co_await body_.finish();
        finished_ = true;
    }
    task<std::error_code> closed() {
        (void)co_await client_->peer_closed();
        co_return errc::premature_close;
    }
    const char* name() const noexcept { return "response"; }

private:
    std::unique_ptr<socket> client_;
    http::body_sink body_;
    bool finished_ = false;
};

struct ends {
    socket client;
    socket server;
};
// A TCP connection over loopback. With `narrow`, the system keeps only a few KiB of what is on the way.
inline task<ends> connected(bool narrow) {
    auto l = listener::open(*address::parse("127.0.0.1:0"));
    if (!l) co_await fail(l.error());
    auto client = co_await connect(l->where(), std::chrono::seconds(5));
    if (!client) co_await fail(client.error());
    auto server = co_await l->accept();
    if (!server) co_await fail(server.error());
    ends e{std::move(*client), std::move(server->connection)};
    const int bytes = 4096;
    if (narrow) {
        kernel& os = loop::current().os();
        os.set_option(e.client.fd(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
        os.set_option(e.server.fd(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
    co_return e;
}

inline task<std::string> read_to_end(socket* from) {
    std::string got;
    std::array<char, 16 * 1024> buffer;
    for (;;) {
        const auto n = co_await from->read_some(buffer);
        if (!n) co_await fail(n.error());
        if (*n == 0) co_return got;
        got.append(buffer.data(), *n);
    }
}
inline task<std::string> read_until(socket* from, std::string mark) {
    std::string got;
    std::array<char, 16 * 1024> buffer;
    while (!got.contains(mark)) {
        const auto n = co_await from->read_some(buffer);
        if (!n) co_await fail(n.error());
        if (*n == 0) co_await fail(errc::premature_close);
        got.append(buffer.data(), *n);
    }
    co_return got;
}

// The payload of a chunked message that must be whole; throws if it is not.
std::string payload_of(const std::string& message);

// How many descriptors of this process refer to `path`.
std::size_t open_at(const std::string& path);

// Runs a flow and keeps how it ended; for nursery::spawn.
inline task<> keep(task<outcome> flow, std::optional<outcome>* end) { end->emplace(co_await std::move(flow)); }

// A loop over the real kernel. At the end of a test nothing may be left of what it started.
class row_test : public ::testing::Test {
protected:
    ~row_test() override { EXPECT_EQ(testing::leftovers::now(), before_); }

    template <class T>
    T run(task<T> work) {
        auto end = home.run(std::move(work));
        if (!end) throw std::runtime_error(end.error().message());
        if constexpr (!std::is_void_v<T>) return std::move(*end);
    }
    // Lets everything happen that can happen in so many turns of the loop, without waiting for anything.
    void turns(int count) {
        for (int i = 0; i < count; ++i) turn();
    }
    // Turns the loop until it is so, which must be within five seconds.
    template <class Condition>
    void until(Condition so) {
        const time_point late = home.now() + std::chrono::seconds(5);
        while (!so()) {
            if (home.now() > late) throw std::runtime_error("it did not happen");
            turn();
        }
    }

    void turn() {
        if (const std::error_code e = home.turn(false)) throw std::system_error(e);
    }

    static constexpr int some = 200; // turns in which whatever goes on shows

    testing::temporary_folder folder;
    linux_kernel os;
    loop home{os};

private:
    testing::leftovers before_ = testing::leftovers::now();
};

} // namespace headgate::rows
