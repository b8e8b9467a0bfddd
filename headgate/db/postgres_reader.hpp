#pragma once

#include <headgate/core/chunk.hpp>
#include <headgate/db/postgres_session.hpp>

#include <vector>

namespace headgate::db::detail {

// Runs one query on a session, without waiting: step() says what to wait for. What is left undone when a reader is
// dropped, the session's recover() undoes.
class postgres_reader {
public:
    enum class next : std::uint8_t {
        flush,  // session.flush(); not_sent() if it fails
        wait,   // session.input(patience()); consume() and broke_off(), or nothing_came()
        item,   // take()
        failed, // take_error()
        last,   // the session is clean and idle; take() if has_last()
        refuse, // the session is clean and idle; this is not for this reader
    };

    postgres_reader(const postgres_reader&) = delete;
    postgres_reader& operator=(const postgres_reader&) = delete;
    virtual ~postgres_reader() = default;

    virtual void begin(postgres_session& s, const query& q, const std::vector<parameter>& values, time_point until) = 0;
    virtual next step() = 0;
    virtual row_batch take() = 0;
    bool has_last() const noexcept { return gathered_ || !told_; }

    // How long to wait for more before what there is must be given on.
    duration patience() const noexcept;
    void nothing_came();
    void not_sent();
    void broke_off() { fail(session_->broken()); }
    error_report take_error() { return std::move(*error_); }

protected:
    postgres_reader(bool read_only, query_options o) noexcept : options_(std::move(o)), read_only_(read_only) {}

    void start(postgres_session& s, time_point until);
    void fail(error_report r) {
        if (!error_) error_ = std::move(r);
    }
    void row_too_large(std::size_t bytes);
    // The query has ended by itself: there is nothing to cancel any more.
    void no_longer_running() noexcept { session_->set_running(false); }
    PGconn* conn() const noexcept { return session_->get(); }
    const char* begin_sql() const noexcept { return read_only_ ? "BEGIN READ ONLY" : "BEGIN"; }
    // "SET LOCAL statement_timeout = 31000", or nothing if there is no limit.
    std::string timeout_sql() const;
    // Something has been put into what is gathered, which was empty.
    void begin_gathering() noexcept { gathering_since_ = executor::current().turn_time(); }
    // Puts a command into the pipeline.
    bool send(const std::string& sql, const std::vector<parameter>& values = {});
    // Whether the session is as it was before; to be asked at the end.
    bool finish();

    query_options options_;
    bool read_only_;
    bool gathered_ = false; // there is something that could be given on
    bool told_ = false;     // a batch has been given
    bool give_on_ = false;  // it has waited long enough
    bool unsent_ = false;
    std::optional<error_report> error_{};

private:
    postgres_session* session_ = nullptr;
    time_point until_{};
    time_point gathering_since_{};
};

// Rows, through the extended protocol: parameters are bound. The transaction's begin, the query and the transaction's
// end go out together (a pipeline), so all of it costs one round trip; a cursor of the server costs one for each fetch.
class postgres_row_reader final : public postgres_reader {
public:
    postgres_row_reader(bool read_only, query_options o) noexcept : postgres_reader(read_only, std::move(o)) {}

    void begin(postgres_session& s, const query& q, const std::vector<parameter>& values, time_point until) override;
    next step() override;
    row_batch take() override;

private:
    bool send_query(const query& q, const std::vector<parameter>& values);
    void send_fetch();
    bool take_result();
    void after_sync();
    bool put_rows();
    void new_batch(std::size_t row_bytes);

    column_set columns_;
    row_batch batch_;
    postgres_result result_; // whose rows are being taken
    int row_ = 0;            // the next of them
    bool described_ = false;
    bool fetching_ = false;   // from a cursor of the server that may have more
    bool ended_ = false;      // the last transaction has ended
    unsigned commands_ = 0;   // that were sent before the one with rows
    unsigned answered_ = 0;   // commands since the last sync
    std::size_t fetched_ = 0; // rows of this fetch
};

// CSV, through COPY, as rows that are written(). First it asks what columns the query has; that also keeps their tables
// as they are until the transaction ends.
class postgres_copy_reader final : public postgres_reader {
public:
    // Whether it may be able to read this: if not so, begin() must not be called.
    static bool may_take(const query& q, const query_options& o) noexcept;

    postgres_copy_reader(bool read_only, query_options o) noexcept : postgres_reader(read_only, std::move(o)) {}

    void begin(postgres_session& s, const query& q, const std::vector<parameter>& values, time_point until) override;
    next step() override;
    row_batch take() override;

private:
    std::string copy_sql() const;
    void take_result(const PGresult& r);
    void after_description();
    void begin_text();
    bool put(std::string_view line);

    struct line_closer {
        void operator()(char* l) const noexcept { PQfreemem(l); }
    };

    std::string sql_;
    column_set columns_;
    chunk out_;
    std::size_t filled_ = 0;
    std::size_t rows_ = 0;                    // of these
    std::unique_ptr<char, line_closer> line_; // that waits for room
    std::size_t line_bytes_ = 0;
    bool describing_ = true;
    bool refused_ = false;
    bool copying_ = false;
    bool header_ = false; // the next line is that
};

} // namespace headgate::db::detail
