#pragma once

#include <headgate/core/abort.hpp>
#include <headgate/core/flow.hpp>

namespace headgate {

// Fails the flow of its place, with the signal's reason, when the signal fires. The place must outlive it.
class abort_watch : abort_listener {
public:
    explicit abort_watch(place& at) noexcept : at_(at) {
        aborted = [](abort_listener& l) {
            auto& w = static_cast<abort_watch&>(l);
            w.at_.of->fail({w.signal_.reason(), side::caller, w.at_.stage, {}});
        };
    }
    abort_watch(abort_signal s, place& at) : abort_watch(at) { start(std::move(s)); }

    // Begins to listen; fails the flow at once if the signal has fired.
    void start(abort_signal s) {
        signal_ = std::move(s);
        signal_.listen(*this);
    }

private:
    place& at_;
    abort_signal signal_;
};

} // namespace headgate
