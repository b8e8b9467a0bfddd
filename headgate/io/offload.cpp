#include <headgate/io/offload.hpp>

#include <csignal>
#include <latch>

namespace headgate {

namespace {

// A signal that is sent to the process must reach the thread that waits for it, never one of the pool. Faults stay with
// who causes them.
class signals_blocked {
public:
    signals_blocked() noexcept {
        sigset_t all;
        ::sigfillset(&all);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGPROF}) ::sigdelset(&all, fault);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    signals_blocked(const signals_blocked&) = delete;
    signals_blocked& operator=(const signals_blocked&) = delete;

private:
    sigset_t before_;
};

} // namespace

offload_pool::offload_pool(unsigned threads) {
    const signals_blocked inherited;
    std::latch started(threads);
    threads_.reserve(threads);
    try {
        for (unsigned i = 0; i < threads; ++i)
            threads_.emplace_back([this, &started] {
                started.count_down();
                serve();
            });
    } catch (...) {
        stop();
        throw;
    }
    started.wait(); // what starting a thread opens for a moment is closed when others begin to count
}

offload_pool::~offload_pool() { stop(); }

void offload_pool::stop() noexcept {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    work_.notify_all();
    for (std::thread& t : threads_) t.join();
}

std::size_t offload_pool::running() const noexcept {
    const std::lock_guard lock(mutex_);
    return running_;
}

std::size_t offload_pool::waiting() const noexcept {
    const std::lock_guard lock(mutex_);
    std::size_t n = 0;
    for (const list_node* i = queue_.next; i != &queue_; i = i->next) ++n;
    return n;
}

void offload_pool::submit(detail::offload_job& job) noexcept {
    {
        const std::lock_guard lock(mutex_);
        queue_.push_back(job);
    }
    work_.notify_one();
}

bool offload_pool::take_back(detail::offload_job& job) noexcept {
    const std::lock_guard lock(mutex_);
    if (!job.linked()) return false;
    job.unlink();
    return true;
}

void offload_pool::serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
        work_.wait(lock, [this] { return stopping_ || queue_.linked(); });
        if (!queue_.linked()) return;
        auto& job = static_cast<detail::offload_job&>(*queue_.next);
        job.unlink();
        ++running_;
        lock.unlock();
        job.work();
        lock.lock();
        --running_; // before the job is seen to be done, so that the numbers add up for whoever looks then
        lock.unlock();
        job.home->post_remote(job);
        lock.lock();
    }
}

namespace detail {

bool offload_wait_base::start(std::coroutine_handle<> h) {
    loop& l = loop::current();
    if (!l.offload_to()) {
        job_->work();
        return false;
    }
    h_ = h;
    home_ = &l;
    job_->home = &l;
    job_->waiter = this;
    job_->run = &finished;
    l.expect_remote();
    l.offload_to()->submit(*job_);
    return true;
}

void offload_wait_base::finished(remote_job& r) {
    auto& job = static_cast<offload_job&>(r);
    job.home->remote_came();
    if (!job.waiter) {
        delete &job;
        return;
    }
    job.waiter->home_ = nullptr;
    job.waiter->h_.resume();
}

offload_wait_base::~offload_wait_base() {
    if (!home_) {
        delete job_;
    } else if (home_->offload_to()->take_back(*job_)) {
        home_->remote_came();
        delete job_;
    } else {
        job_->waiter = nullptr; // it comes back to the loop, which deletes it
    }
}

} // namespace detail

} // namespace headgate
