#include <headgate/core/abort.hpp>
#include <headgate/testing/fixture.hpp>

#include <optional>
#include <vector>

namespace headgate {
namespace {

using namespace std::chrono_literals;

class abort_test : public testing::simulated_test {};

struct noted : abort_listener {
    int times = 0;
    noted() {
        aborted = [](abort_listener& l) { ++static_cast<noted&>(l).times; };
    }
};

TEST_F(abort_test, TellsItsListenersOnce) {
    abort_source source;
    const abort_signal signal = source.signal();
    noted a, b;
    signal.listen(a);
    {
        noted gone;
        signal.listen(gone);
    }
    EXPECT_FALSE(signal.aborted());
    source.abort(errc::refused);
    source.abort(errc::idle);
    EXPECT_TRUE(signal.aborted());
    EXPECT_EQ(signal.reason(), errc::refused);
    EXPECT_EQ(a.times, 1);
    signal.listen(b); // it has fired already
    EXPECT_EQ(b.times, 1);
}

TEST_F(abort_test, ADefaultSignalNeverFires) {
    const abort_signal never;
    noted a;
    never.listen(a);
    EXPECT_FALSE(never.aborted());
    EXPECT_EQ(a.times, 0);
}

TEST_F(abort_test, ChildrenFollowTheirParents) {
    abort_source parent;
    abort_source child(parent.signal());
    abort_source grandchild(child.signal());
    noted at_child, at_grandchild;
    child.signal().listen(at_child);
    grandchild.signal().listen(at_grandchild);
    parent.abort(errc::overloaded);
    EXPECT_EQ(at_child.times, 1);
    EXPECT_EQ(at_grandchild.times, 1);
    EXPECT_EQ(grandchild.signal().reason(), errc::overloaded);
    abort_source late(parent.signal());
    EXPECT_EQ(late.signal().reason(), errc::overloaded);
}

TEST_F(abort_test, AChildFiresAlone) {
    abort_source parent;
    abort_source first(parent.signal()), second(parent.signal());
    first.abort();
    EXPECT_EQ(first.signal().reason(), errc::aborted);
    EXPECT_FALSE(parent.signal().aborted());
    EXPECT_FALSE(second.signal().aborted());
    parent.abort(errc::idle);
    EXPECT_EQ(first.signal().reason(), errc::aborted); // its own
    EXPECT_EQ(second.signal().reason(), errc::idle);
}

TEST_F(abort_test, ADeadlineFires) {
    abort_source source;
    noted a;
    source.signal().listen(a);
    source.abort_after(10ms);
    source.abort_after(20ms); // moved
    sim().advance(15ms);
    EXPECT_EQ(a.times, 0);
    sim().advance(5ms);
    EXPECT_EQ(a.times, 1);
    EXPECT_EQ(source.signal().reason(), errc::timed_out);
    source.abort_after(1ms); // too late to matter
    EXPECT_EQ(sim().home.timers_armed(), 0u);
}

TEST_F(abort_test, ADeadlineIsTakenBack) {
    abort_source source;
    source.abort_after(10ms);
    source.abort_after(forever);
    EXPECT_EQ(sim().home.timers_armed(), 0u);
    source.abort_after(10ms);
    source.abort();
    EXPECT_EQ(sim().home.timers_armed(), 0u);
}

TEST_F(abort_test, ADestroyedSourceNeverFires) {
    std::optional<abort_source> parent(std::in_place);
    std::optional<abort_source> source(std::in_place, parent->signal());
    const abort_signal signal = source->signal();
    source->abort_after(10ms);
    noted a;
    signal.listen(a);
    source.reset();
    EXPECT_EQ(sim().home.timers_armed(), 0u);
    parent->abort();
    EXPECT_FALSE(signal.aborted());
    EXPECT_EQ(a.times, 0);
}

TEST_F(abort_test, AMovedSourceIsTheSameOne) {
    abort_source source;
    const abort_signal signal = source.signal();
    source.abort_after(10ms);
    abort_source moved(std::move(source));
    sim().advance(10ms);
    EXPECT_EQ(signal.reason(), errc::timed_out);
    EXPECT_TRUE(moved.signal().aborted());
}

// A listener that destroys other listeners, the source and the signals.
struct destroyer : abort_listener {
    std::optional<noted>* other = nullptr;
    std::optional<abort_source>* source = nullptr;
    std::optional<abort_signal>* signal = nullptr;
    destroyer() {
        aborted = [](abort_listener& l) {
            auto& self = static_cast<destroyer&>(l);
            self.other->reset();
            self.source->reset();
            self.signal->reset();
        };
    }
};

TEST_F(abort_test, AListenerMayDestroyEverything) {
    std::optional<abort_source> source(std::in_place);
    std::optional<abort_signal> signal(source->signal());
    destroyer first;
    std::optional<noted> second(std::in_place);
    noted third;
    first.other = &second;
    first.source = &source;
    first.signal = &signal;
    signal->listen(first);
    signal->listen(*second);
    signal->listen(third);
    source->abort();
    EXPECT_EQ(third.times, 1);
    EXPECT_FALSE(source);
}

task<> wait_for(abort_signal signal, std::error_code* reason) { *reason = co_await signal.wait(); }

TEST_F(abort_test, IsWaitedFor) {
    abort_source source;
    std::error_code first, second;
    nursery n;
    n.spawn(wait_for(source.signal(), &first));
    n.spawn(wait_for(source.signal(), &second));
    source.abort(errc::idle);
    EXPECT_FALSE(first) << "a waiter is resumed by the loop, not from inside abort()";
    sim().advance(0ms);
    EXPECT_EQ(first, errc::idle);
    EXPECT_EQ(second, errc::idle);
    EXPECT_TRUE(n.empty());
    std::error_code late;
    n.spawn(wait_for(source.signal(), &late));
    EXPECT_EQ(late, errc::idle);
    sim().advance(0ms);
}

TEST_F(abort_test, AWaiterIsDroppedBeforeAndAfterItFires) {
    abort_source source;
    std::error_code reason;
    nursery n;
    n.spawn(wait_for(source.signal(), &reason));
    n.clear();
    n.spawn(wait_for(source.signal(), &reason));
    source.abort();
    n.clear(); // it has fired, but has not run yet
    sim().advance(1ms);
    EXPECT_FALSE(reason);
}

} // namespace
} // namespace headgate
