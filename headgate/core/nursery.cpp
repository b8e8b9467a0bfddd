#include <headgate/core/nursery.hpp>

namespace headgate {

// A root is the flow of its work. When the work ends it runs itself as the very next thing, as a failed flow does, and
// is released there: never from inside one of its own frames.
struct nursery::root : nursery::link, flow {
    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* p, std::size_t bytes) noexcept { free_frame(p, bytes); }

    nursery* home = nullptr;
    place at;
    task<> work;
    void (*on_failure)(void*, const flow_error&) = nullptr;
    void* context = nullptr;

    static std::coroutine_handle<> ended(promise_base& p) noexcept {
        auto& self = *static_cast<root*>(p.parent);
        if (!self.failed()) executor::current().post_next(self);
        return std::noop_coroutine();
    }
};

void nursery::spawn(task<> work, void (*failed)(void*, const flow_error&), void* context) {
    auto* r = new root;
    r->home = this;
    r->at.of = r;
    r->work = std::move(work);
    r->on_failure = failed;
    r->context = context;
    r->run = [](ready& n) {
        auto& self = static_cast<root&>(n);
        if (self.failed_itself() && self.on_failure) self.on_failure(self.context, self.error());
        self.home->release(self);
    };
    roots_.push_front(static_cast<link&>(*r));
    ++size_;
    promise_base& p = r->work.handle().promise();
    p.at = &r->at;
    p.parent = r;
    p.then = &root::ended;
    r->work.handle().resume();
}

void nursery::release(root& r) noexcept {
    r.link::unlink();
    delete &r;
    --size_;
    if (size_ == 0 && waiter_) executor::current().post(*std::exchange(waiter_, nullptr));
}

void nursery::clear() noexcept {
    while (roots_.linked()) release(static_cast<root&>(static_cast<link&>(*roots_.next)));
}

} // namespace headgate
