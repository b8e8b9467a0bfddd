#pragma once

#include <headgate/http/message.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

#include <gateway/balancing.hpp>
#include <gateway/cause.hpp>
#include <gateway/options.hpp>

namespace headgate::gateway {

// Whether a try that ended so is reason for another one.
bool asks_for_retry(const retry_conditions& on, cause failure) noexcept;
bool asks_for_retry(const retry_conditions& on, int status) noexcept;

// How long to wait before retry number `n` (from 1): a part, by chance, of a time that doubles with each retry ("full
// jitter"; M. Brooker, 2015).
duration back_off(const retry_options& o, std::uint32_t n, choice& chance) noexcept;

// What Retry-After (RFC 9110, section 10.2.3) says: seconds, or a date, compared with the system's clock. Nothing if it
// does not say, or not so that it can be understood; at least zero.
std::optional<duration> retry_after(const http::message_head& head);

// How many requests to an upstream are in progress, and how many of them are retries: so that an upstream that fails is
// not asked many times more often than one that is well.
class retry_budget {
public:
    explicit retry_budget(const retry_budget_options& o) noexcept : options_(o) {}
    retry_budget(const retry_budget&) = delete;
    retry_budget& operator=(const retry_budget&) = delete;

    // One request in progress, for as long as it lives. Must not outlive the budget.
    class share {
    public:
        explicit share(retry_budget& of) noexcept : of_(&of) { ++of_->active_; }
        share(const share&) = delete;
        share& operator=(const share&) = delete;
        ~share() { end(); }

        // The upstream has done its part. Nothing else is called after it.
        void end() noexcept {
            if (!of_) return;
            end_retry();
            --of_->active_;
            of_ = nullptr;
        }

        // Makes the request a retry, if it is none yet and there may be one more; tells whether it is one.
        bool begin_retry() noexcept {
            if (!retries_ && of_->may_begin()) retries_ = true, ++of_->retries_;
            return retries_;
        }
        void end_retry() noexcept {
            if (retries_) retries_ = false, --of_->retries_;
        }
        // It goes to another upstream.
        void move_to(retry_budget& other) noexcept {
            end_retry();
            --of_->active_;
            of_ = &other;
            ++of_->active_;
        }

    private:
        retry_budget* of_;
        bool retries_ = false;
    };

    std::size_t active() const noexcept { return active_; }
    std::size_t retries() const noexcept { return retries_; }

private:
    bool may_begin() const noexcept {
        return retries_ < options_.min_retry_concurrency || (retries_ + 1) * 100 <= active_ * options_.budget_percent;
    }

    retry_budget_options options_;
    std::size_t active_ = 0;
    std::size_t retries_ = 0;
};

} // namespace headgate::gateway
