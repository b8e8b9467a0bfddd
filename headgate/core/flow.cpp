#include <headgate/core/flow.hpp>

#include <new>

namespace headgate {

void flow::fail(flow_error error) noexcept {
    if (failed_) return;
    failed_ = true;
    error_.reset(new (std::nothrow) flow_error(std::move(error)));
    executor::current().post_next(*this);
}

namespace {

const flow_error& no_memory() noexcept {
    static const flow_error error{make_error_code(std::errc::not_enough_memory), side::stage, 0, {}};
    return error;
}

} // namespace

const flow_error& flow::error() const noexcept { return error_ ? *error_ : no_memory(); }

flow_error flow::take_error() noexcept {
    unlink();
    return error_ ? std::move(*error_) : flow_error{no_memory().code, side::stage, 0, {}};
}

flow_error error_of(const std::exception_ptr& thrown, const place& at) noexcept {
    try {
        std::rethrow_exception(thrown);
    } catch (const std::system_error& e) {
        return {e.code(), at.where, at.stage, e.what()};
    } catch (const std::bad_alloc&) {
        return {make_error_code(std::errc::not_enough_memory), at.where, at.stage, {}};
    } catch (const std::exception& e) {
        return {errc::failed, at.where, at.stage, e.what()};
    } catch (...) {
        return {errc::failed, at.where, at.stage, "an exception of unknown type"};
    }
}

} // namespace headgate
