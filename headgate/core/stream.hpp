#pragma once

#include <headgate/core/joint.hpp>
#include <headgate/core/promise.hpp>

#include <memory>
#include <optional>
#include <utility>

namespace headgate {

namespace detail {

// The flow of a stream that has been tried (try_next). It lives as long as the stream: what runs beside it, in a
// strand, may fail between two pulls, and then the next one tells.
struct tried_flow : flow {
    place at;

    // The stream is pulled by `by`, at `outer`. A failure resumes `by`, or is passed on to the flow that `by` runs in.
    void enter(const place& outer_place, std::coroutine_handle<> by, bool pass_on) noexcept {
        set_outer(*outer_place.of);
        at = {.of = this, .where = outer_place.where, .stage = outer_place.stage};
        puller_ = by;
        pass_on_ = pass_on;
        run = [](ready& r) {
            auto& self = static_cast<tried_flow&>(r);
            if (!self.puller_ || self.outer()->failed()) return;
            if (self.pass_on_)
                self.outer()->fail(self.error());
            else
                self.puller_.resume();
        };
    }
    void leave() noexcept { puller_ = nullptr; }

private:
    std::coroutine_handle<> puller_;
    bool pass_on_ = false;
};

} // namespace detail

// An asynchronous generator: a coroutine that gives its items with `co_yield` and runs only when someone asks for the
// next one, with `next()` or `ready()`. It cannot produce unasked. Move-only; whoever holds a stream owns its frame,
// and destroying it at any moment releases all it holds. When it ends it is destroyed at once, not when its owner is.
//
// A stream that fails (`co_await fail(code)`, or a throw) does not resume who awaits it: the flow drops the chain.
template <class T>
class [[nodiscard]] stream {
public:
    using value_type = T;

    struct promise_type : promise_base {
        T* value = nullptr;     // the yielded item, which lives in the frame until the next resumption
        joint* meter = nullptr; // set by pipeline: what counts the pulls
        bool begun = false;     // by ready(); the next pull waits for that item

        stream get_return_object() { return stream(std::coroutine_handle<promise_type>::from_promise(*this)); }
        settle yield_value(T&& v) noexcept {
            value = std::addressof(v);
            return {};
        }
        auto yield_value(const T& v)
            requires std::copy_constructible<T>
        {
            struct copy : settle {
                T item;
                promise_type* p;
                copy(const T& i, promise_type* owner) : item(i), p(owner) {}
                std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
                    p->value = std::addressof(item);
                    return settle::await_suspend(h);
                }
            };
            return copy(v, this);
        }
        void return_void() const noexcept {}
    };

    stream() = default; // an ended stream
    stream(stream&& other) noexcept : h_(std::exchange(other.h_, nullptr)), tried_(std::move(other.tried_)) {}
    stream& operator=(stream&& other) noexcept {
        if (this != &other) {
            reset();
            h_ = std::exchange(other.h_, nullptr);
            tried_ = std::move(other.tried_);
        }
        return *this;
    }
    ~stream() { reset(); }

    // Drops the stream, at whatever point it is.
    void reset() noexcept {
        if (h_) destroy();
        tried_.reset();
    }

    // Whether the stream has ended (or was moved away); false does not mean that there is another item.
    bool ended() const noexcept { return !h_; }

    // Makes `j` count this stream's pulls. `j` must outlive the stream.
    void meter(joint& j) noexcept {
        if (h_) h_.promise().meter = &j;
    }

    class pull;
    class try_pull;
    class begin_pull;

    // `co_await s.next()`: the next item, or nothing at the end. The stream must stay where it is while it is awaited.
    pull next() noexcept { return pull(*this); }

    // `co_await s.try_next()`: as next(), but gives the error if the stream fails, so that the caller may try something
    // else. The failed stream is then gone with everything it held.
    try_pull try_next() noexcept { return try_pull(*this); }

    // `co_await s.ready()`: begins to pull the next item, and tells whether next() will give it, or the end, at once.
    // If not, the stream goes on by itself to that item, and no further, while the caller does something else, and
    // next() waits for it: for stages that do something while their source is idle. In a pipeline it then runs in the
    // pipeline's flow; elsewhere, not inside an attempt that ends before the item is taken. A stream that was tried is
    // always ready.
    begin_pull ready() noexcept { return begin_pull(*this); }

private:
    explicit stream(std::coroutine_handle<promise_type> h) noexcept : h_(h) {}

    // With the frame goes what it held.
    void destroy() noexcept {
        joint* const meter = h_.promise().meter;
        std::exchange(h_, nullptr).destroy();
        if (meter) meter->held = 0;
    }

    std::coroutine_handle<promise_type> h_ = nullptr;
    std::unique_ptr<detail::tried_flow> tried_; // none as long as nobody has tried; outlives the frame
};

template <class T>
class stream<T>::pull {
public:
    explicit pull(stream& s) noexcept : s_(s) {}

    bool await_ready() const noexcept { return s_.ended(); }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> parent) {
        place* at = parent.promise().at;
        if (promise_type& p = s_.h_.promise(); p.begun) return wait_for_begun(parent, at, p);
        if (detail::tried_flow* tried = s_.tried_.get()) {
            if (tried->failed_itself()) {
                at->of->fail(tried->error());
                return true;
            }
            tried->enter(*at, parent, true);
            at = &tried->at;
        }
        return resume_at(parent, at);
    }
    std::optional<T> await_resume() {
        if (s_.ended()) return std::nullopt;
        if (s_.tried_) s_.tried_->leave();
        promise_type& p = s_.h_.promise();
        if (!p.value) {
            if (p.meter) p.meter->end();
            s_.reset();
            return std::nullopt;
        }
        std::optional<T> item(std::move(*std::exchange(p.value, nullptr)));
        if (p.meter) p.meter->end_pull(item_bytes(*item));
        return item;
    }

protected:
    bool resume_at(std::coroutine_handle<> parent, place* at) {
        auto h = s_.h_;
        promise_type& p = h.promise();
        if (p.meter) {
            p.meter->of = at->of;
            if (!at->of->failed()) p.meter->begin_pull();
            at = p.meter;
        }
        return resume_inline(h, parent, at, [h] { return h.promise().value || h.done(); });
    }

private:
    bool wait_for_begun(std::coroutine_handle<> parent, place* at, promise_type& p) {
        p.begun = false;
        if (at->of->failed() || p.at->of->failed()) return true;
        if (p.value || s_.h_.done()) return false;
        p.parent = parent.address();
        p.then = &promise_base::resume_parent;
        return true;
    }

protected:
    stream& s_;
};

template <class T>
class stream<T>::begin_pull : pull {
public:
    explicit begin_pull(stream& s) noexcept : pull(s) {}

    bool await_ready() const noexcept { return this->s_.ended() || this->s_.tried_; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> parent) {
        place* at = parent.promise().at;
        promise_type& p = this->s_.h_.promise();
        if (p.begun) {
            ready_ = p.value || this->s_.h_.done();
            return false;
        }
        place outer = *at;
        if (outer.home) outer.of = outer.home; // as for a strand
        p.begun = true;
        ready_ = !this->resume_at(parent, p.meter ? &outer : at);
        if (at->of->failed()) return true;
        if (!ready_) p.then = &promise_base::stay;
        return false;
    }
    bool await_resume() const noexcept { return ready_; }

private:
    bool ready_ = true;
};

template <class T>
class stream<T>::try_pull : pull {
public:
    explicit try_pull(stream& s) noexcept : pull(s) {}

    using pull::await_ready;
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> parent) {
        const place& outer = *parent.promise().at;
        auto& tried = this->s_.tried_;
        if (!tried) tried = std::make_unique<detail::tried_flow>();
        if (tried->failed_itself()) return false;
        tried->enter(outer, parent, false);
        if (joint* meter = this->s_.h_.promise().meter) meter->home = tried.get();
        const bool wait = this->resume_at(parent, &tried->at);
        if (outer.of->failed()) return true;
        return wait && !tried->failed_itself();
    }
    std::expected<std::optional<T>, flow_error> await_resume() {
        auto& tried = this->s_.tried_;
        if (tried && tried->failed_itself()) {
            flow_error why = tried->error();
            this->s_.reset();
            return std::unexpected(std::move(why));
        }
        return pull::await_resume();
    }
};

} // namespace headgate
