#include <algorithm>
#include <unordered_map>

#include <gateway/export/source.hpp>
#include <gateway/live_config.hpp>

namespace headgate::gateway {

void live_config::apply(std::shared_ptr<const snapshot> next) {
    auto made = std::make_shared<served>();
    for (std::size_t n = 0; n < next->of().upstreams.size(); ++n) {
        const upstream_config& c = next->of().upstreams[n];
        std::shared_ptr<upstream> same;
        if (now_)
            for (std::size_t i = 0; i < now_->upstreams.size() && !same; ++i)
                if (now_->shared->of().upstreams[i] == c && now_->shared->tls_of(i) == next->tls_of(n))
                    same = now_->upstreams[i];
        made->upstreams.push_back(same ? std::move(same) : std::make_shared<upstream>(c, around_, next->tls_of(n)));
    }
    made->shared = std::move(next);
    take_over_lives(*made);
    take_over_meters(*made);
    take_over_sources(*made);
    for (const std::shared_ptr<upstream>& u : made->upstreams)
        if (!now_ || std::ranges::find(now_->upstreams, u) == now_->upstreams.end()) u->start();
    std::erase_if(retired_, [](const std::weak_ptr<upstream>& u) { return u.expired(); });
    if (now_)
        for (const std::shared_ptr<upstream>& u : now_->upstreams)
            if (std::ranges::find(made->upstreams, u) == made->upstreams.end()) {
                u->retire();
                retired_.push_back(u);
            }
    now_ = std::move(made);
}

void live_config::take_over_sources(served& next) {
    for (const source_config& c : next.shared->of().sources) {
        std::shared_ptr<db::database> same;
        for (std::size_t i = 0; now_ && i < now_->sources.size() && !same; ++i)
            if (now_->shared->of().sources[i] == c) same = now_->sources[i];
        next.sources.push_back(same ? std::move(same) : open_source(c));
    }
    std::erase_if(leaving_, [](const auto& s) { return s.use_count() == 1; });
    if (!now_) return;
    for (const std::shared_ptr<db::database>& s : now_->sources)
        if (std::ranges::find(next.sources, s) == next.sources.end()) {
            s->connections().retire();
            leaving_.push_back(s);
        }
}

void live_config::take_over_lives(served& next) {
    std::unordered_map<std::string_view, std::shared_ptr<route_life>> before;
    if (now_)
        for (std::size_t i = 0; i < now_->lives.size(); ++i)
            before.emplace(now_->shared->identities()[i], now_->lives[i]);
    for (const std::string& identity : next.shared->identities()) {
        const auto same = before.find(identity);
        next.lives.push_back(same == before.end() ? std::make_shared<route_life>(aborted_) : same->second);
        if (same != before.end()) before.erase(same);
    }
    for (const auto& [identity, life] : before) life->end_after(drain_timeout_);
}

void live_config::take_over_meters(served& next) {
    std::unordered_map<std::string_view, std::shared_ptr<route_meters>> before;
    if (now_)
        for (std::size_t i = 0; i < now_->meters.size(); ++i)
            before.emplace(now_->shared->of().routes[i].name, now_->meters[i]);
    for (const route_config& r : next.shared->of().routes) {
        const auto same = before.find(r.name);
        next.meters.push_back(same == before.end() ? std::make_shared<route_meters>() : same->second);
    }
}

task<> live_config::recovered() {
    const std::shared_ptr<const served> last = now_;
    for (const std::shared_ptr<db::database>& s : leaving_) co_await s->connections().recovered();
    if (!last) co_return;
    for (const std::shared_ptr<db::database>& s : last->sources) co_await s->connections().recovered();
}

void live_config::drain() noexcept {
    if (!now_) return;
    for (const std::shared_ptr<upstream>& u : now_->upstreams) u->retire();
    for (const std::shared_ptr<db::database>& s : now_->sources) s->connections().retire();
}

std::size_t live_config::idle() const noexcept {
    std::size_t n = 0;
    if (now_)
        for (const std::shared_ptr<upstream>& u : now_->upstreams) n += u->idle();
    return n;
}

std::size_t live_config::busy() const noexcept {
    std::size_t n = 0;
    if (now_)
        for (const std::shared_ptr<upstream>& u : now_->upstreams) n += u->busy();
    for (const std::weak_ptr<upstream>& u : retired_)
        if (const auto still = u.lock()) n += still->busy();
    return n;
}

} // namespace headgate::gateway
