#include <headgate/db/error.hpp>
#include <headgate/db/postgres.hpp>
#include <headgate/io/linux_kernel.hpp>
#include <headgate/testing/certificates.hpp>
#include <headgate/testing/postgres_server.hpp>
#include <headgate/testing/temporary_folder.hpp>

#include <optional>

#include <gtest/gtest.h>

namespace headgate::db {
namespace {

using namespace std::chrono_literals;

task<std::string> first_value(postgres* db, std::string sql) {
    stream<row_batch> rows = db->rows(query::parse(std::move(sql)).value());
    std::string first;
    while (const auto b = co_await rows.next())
        if (first.empty() && !b->empty()) first = b->at(0, 0).text;
    co_return first;
}
task<> count_rows(postgres* db, std::size_t* rows) {
    stream<row_batch> s = db->rows(query::parse("select generate_series(1, 1000000000), repeat('x', 80)").value());
    while (const auto b = co_await s.next()) *rows += b->rows();
}

// A server whose certificate names localhost.
class postgres_tls_test : public ::testing::Test {
public:
    static void SetUpTestSuite() {
        if (!testing::postgres_server::available()) return;
        files_ = std::make_unique<testing::temporary_folder>();
        // Of RSA: libpq's SCRAM asks for the digest that a certificate was signed with, and Ed25519 has none.
        const auto own = testing::certificate_authority::self_signed(
            {.subject = "localhost", .names = {"DNS:localhost"}, .rsa = true});
        trusted_ = files_->write("trusted.pem", own.certificate);
        other_ = files_->write("other.pem", testing::certificate_authority("another").certificate());
        server_ = std::make_unique<testing::postgres_server>(files_->write("server.pem", own.certificate),
                                                             files_->write("server.key", own.key));
    }
    static void TearDownTestSuite() {
        server_.reset();
        files_.reset();
    }
    void SetUp() override {
        if (!server_) GTEST_SKIP() << "PostgreSQL is not installed";
    }

protected:
    std::expected<std::string, flow_error> ask(const std::string& host, const std::string& tls,
                                               std::string sql = "select ssl from pg_stat_ssl where pid = "
                                                                 "pg_backend_pid()") {
        db.emplace(postgres_options{.conninfo = "host=" + host + " port=" + std::to_string(server_->port()) +
                                                " user=locked password='open sesame' dbname=postgres " + tls},
                   pool_options{.size = 1});
        return l.run(first_value(&*db, std::move(sql)));
    }

    static inline std::unique_ptr<testing::temporary_folder> files_;
    static inline std::unique_ptr<testing::postgres_server> server_;
    static inline std::string trusted_, other_;
    linux_kernel os;
    loop l{os};
    std::optional<postgres> db;
};

TEST_F(postgres_tls_test, TheNameIsVerified) {
    const auto good = ask("localhost", "sslmode=verify-full sslrootcert=" + trusted_);
    ASSERT_TRUE(good) << good.error().message();
    EXPECT_EQ(*good, "t");

    const auto wrong_name = ask("127.0.0.1", "sslmode=verify-full sslrootcert=" + trusted_);
    ASSERT_FALSE(wrong_name);
    EXPECT_EQ(db::failure_of(wrong_name.error().code), failure::unavailable);
    EXPECT_NE(wrong_name.error().detail.find("does not match host name"), std::string::npos)
        << wrong_name.error().detail;
    EXPECT_EQ(ask("127.0.0.1", "sslmode=verify-ca sslrootcert=" + trusted_).value_or(""), "t") << "the name aside";

    const auto unknown = ask("localhost", "sslmode=verify-full sslrootcert=" + other_);
    ASSERT_FALSE(unknown);
    EXPECT_NE(unknown.error().detail.find("certificate verify failed"), std::string::npos) << unknown.error().detail;
    db.reset();
    EXPECT_EQ(l.descriptors(), 0u);
}

TEST_F(postgres_tls_test, AQueryIsCancelledAndItsSessionUsedAgain) {
    const std::string tls = "sslmode=verify-full sslrootcert=" + trusted_;
    const auto before = ask("localhost", tls, "select pg_backend_pid()");
    ASSERT_TRUE(before) << before.error().message();
    nursery n;
    std::size_t rows = 0;
    n.spawn(count_rows(&*db, &rows));
    const auto step = [this] {
        timer soon;
        soon.fire = [](timer&) {};
        l.arm(soon, 1ms);
        ASSERT_FALSE(l.turn());
    };
    while (rows < 100'000 && !n.empty()) step(); // more than one record of TLS, and more than libpq's buffer
    n.clear();
    while (db->connections().stats().recovering != 0) step();
    EXPECT_EQ(db->connections().stats().recovered, 1u);
    EXPECT_EQ(l.run(first_value(&*db, "select pg_backend_pid()")).value_or(""), *before);
}

// All that a conninfo leaves out.
TEST_F(postgres_tls_test, TheEnvironmentFillsIn) {
    const std::string passwords =
        files_->write("passwords", "localhost:" + std::to_string(server_->port()) + ":postgres:locked:open sesame\n");
    std::filesystem::permissions(passwords, std::filesystem::perms::owner_read);
    const std::pair<const char*, std::string> all[] = {
        {"PGHOST", "localhost"},    {"PGPORT", std::to_string(server_->port())},
        {"PGUSER", "locked"},       {"PGDATABASE", "postgres"},
        {"PGPASSFILE", passwords},  {"PGSSLMODE", "verify-full"},
        {"PGSSLROOTCERT", trusted_}};
    for (const auto& [name, value] : all) ::setenv(name, value.c_str(), 1);
    db.emplace(postgres_options{}, pool_options{.size = 1});
    const auto who = l.run(first_value(&*db, "select current_user || ' ' || ssl from pg_stat_ssl where pid = "
                                             "pg_backend_pid()"));
    for (const auto& [name, value] : all) ::unsetenv(name);
    ASSERT_TRUE(who) << who.error().message();
    EXPECT_EQ(*who, "locked true");
}

} // namespace
} // namespace headgate::db
