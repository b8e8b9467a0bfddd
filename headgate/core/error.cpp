#include <headgate/core/error.hpp>

namespace headgate {

namespace {

class flow_category_type final : public std::error_category {
public:
    const char* name() const noexcept override { return "flow"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
        case errc::premature_close: return "premature close";
        case errc::aborted: return "aborted";
        case errc::timed_out: return "timed out";
        case errc::idle: return "idle for too long";
        case errc::limit_exceeded: return "limit exceeded";
        case errc::protocol: return "protocol error";
        case errc::refused: return "refused";
        case errc::overloaded: return "overloaded";
        case errc::failed: return "failed";
        }
        return "unknown";
    }
};

} // namespace

const std::error_category& flow_category() noexcept {
    static const flow_category_type category;
    return category;
}

const char* to_string(side s) noexcept {
    switch (s) {
    case side::source: return "source";
    case side::stage: return "stage";
    case side::sink: return "sink";
    case side::caller: return "caller";
    }
    return "unknown";
}

std::string flow_error::message() const {
    std::string text = code.message();
    if (where == side::caller)
        text += " by the caller";
    else
        text += " at stage " + std::to_string(stage) + " (" + to_string(where) + ")";
    if (!detail.empty()) text += ": " + detail;
    return text;
}

} // namespace headgate
