#include <headgate/flow/compose.hpp>
#include <headgate/flow/pipeline.hpp>
#include <headgate/io/spool.hpp>
#include <headgate/testing/fixture.hpp>
#include <headgate/testing/tools.hpp>

// The code of docs/architecture.md.
namespace {

using namespace headgate;
namespace kit = headgate::testing;
using namespace std::chrono_literals;

// A stand-in for a database with a pool of connections.
struct database {
    int leased = 0;
};
struct lease {
    explicit lease(database* db) : of(db) { ++of->leased; }
    ~lease() { --of->leased; }
    lease(const lease&) = delete;
    lease& operator=(const lease&) = delete;
    database* of;
};
stream<int> query(database* db, int rows) {
    const lease connection(db);
    for (int id = 0; id < rows; ++id) co_yield id;
}
stream<chunk> format_csv(stream<int> rows) {
    while (auto id = co_await rows.next()) co_yield chunk(std::to_string(*id) + "," + std::string(1000, 'x') + "\n");
}

using slow_client = kit::slow_sink<chunk>;

task<outcome> export_orders(database* db, int rows, slow_client client) {
    const auto csv = compose(&format_csv, spooled(1'000'000, 64'000'000));
    return pipeline(query(db, rows), csv, std::move(client));
}

class architecture_example : public kit::simulated_test {};

task<> finish(task<outcome> flow, bool* well) { *well = (co_await std::move(flow)).has_value(); }

TEST_F(architecture_example, ASlowClientDoesNotHoldTheConnection) {
    database db;
    bool well = false;
    nursery server;
    server.spawn(finish(export_orders(&db, 5000, slow_client(64 * 1024, 1s)), &well));
    sim().advance(500ms);
    EXPECT_EQ(db.leased, 0);
    EXPECT_FALSE(server.empty());
    sim().advance(10min);
    EXPECT_TRUE(server.empty() && well);
}

} // namespace
