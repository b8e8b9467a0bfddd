#include <headgate/io/srv_records.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>

#include <ares.h>
#include <arpa/nameser.h>

namespace headgate::detail {

namespace {

std::uint16_t number16(const unsigned char* at) noexcept { return static_cast<std::uint16_t>(at[0] << 8 | at[1]); }
std::uint32_t number32(const unsigned char* at) noexcept {
    return std::uint32_t{number16(at)} << 16 | number16(at + 2);
}

class srv_reader {
public:
    explicit srv_reader(std::span<const unsigned char> answer) noexcept
        : all_(answer.data()), size_(std::ssize(answer)), at_(all_) {}

    std::optional<found_records> read(std::size_t records_max) {
        if (left() < NS_HFIXEDSZ) return std::nullopt;
        const int questions = number16(all_ + 4);
        const int answers = number16(all_ + 6);
        at_ += NS_HFIXEDSZ;
        for (int i = 0; i < questions; ++i)
            if (!name() || !skip(NS_QFIXEDSZ)) return std::nullopt;
        found_records out{.records = {}, .ttl = forever};
        for (int i = 0; i < answers; ++i)
            if (!record(out, records_max)) return std::nullopt;
        return out;
    }

private:
    std::ptrdiff_t left() const noexcept { return size_ - (at_ - all_); }
    bool skip(std::ptrdiff_t n) noexcept {
        if (left() < n) return false;
        at_ += n;
        return true;
    }
    std::optional<std::string> name() {
        char* text = nullptr;
        long used = 0;
        if (left() <= 0 || ::ares_expand_name(at_, all_, static_cast<int>(size_), &text, &used) != ARES_SUCCESS)
            return std::nullopt;
        std::string out(text);
        ::ares_free_string(text);
        at_ += used;
        return out;
    }
    bool record(found_records& out, std::size_t records_max) {
        if (!name() || left() < NS_RRFIXEDSZ) return false;
        const std::uint16_t type = number16(at_);
        const auto ttl = std::chrono::seconds(number32(at_ + 4));
        const std::uint16_t length = number16(at_ + 8);
        at_ += NS_RRFIXEDSZ;
        if (left() < length) return false;
        const unsigned char* const end = at_ + length;
        out.ttl = std::min<duration>(out.ttl, ttl); // of aliases, too
        if (type == ns_t_srv && out.records.size() < records_max) {
            constexpr std::ptrdiff_t numbers = 6;
            if (length <= numbers) return false;
            srv_record r{
                .target = {}, .port = number16(at_ + 4), .priority = number16(at_), .weight = number16(at_ + 2)};
            at_ += numbers;
            auto target = name();
            if (!target) return false;
            r.target = std::move(*target);
            out.records.push_back(std::move(r));
        }
        at_ = end;
        return true;
    }

    const unsigned char* all_;
    std::ptrdiff_t size_;
    const unsigned char* at_;
};

} // namespace

std::optional<found_records> read_srv_records(std::span<const unsigned char> answer, std::size_t records_max) {
    return srv_reader(answer).read(records_max);
}

} // namespace headgate::detail
