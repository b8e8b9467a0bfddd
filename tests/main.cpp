#include <headgate/testing/leak_listener.hpp>

#include <gmock/gmock.h>

// Every test program of the project: whatever a test is about, it must leave nothing behind.
int main(int argc, char** argv) {
    ::testing::InitGoogleMock(&argc, argv);
    headgate::testing::leak_listener::install();
    return RUN_ALL_TESTS();
}
