#include <headgate/core/chunk_queue.hpp>
#include <headgate/core/joint.hpp>
#include <headgate/core/memory_budget.hpp>
#include <headgate/core/task.hpp>
#include <headgate/io/offload.hpp>
#include <headgate/io/spool.hpp>
#include <headgate/io/unnamed_file.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ranges>
#include <vector>

namespace headgate {

namespace {

constexpr std::size_t block_bytes = 4096;    // of the disk: only whole ones are given back
constexpr std::size_t write_min = 16 * 1024; // for less room, unless it is all there is to write, it is not worth while
constexpr duration pause_after_refusal = std::chrono::seconds(1);

constexpr std::size_t whole_blocks(std::size_t bytes) noexcept {
    return (bytes + block_bytes - 1) / block_bytes * block_bytes;
}

// The file, with what it counts for: both go with the call that uses it, and end together.
struct spool_file {
    unnamed_file on_disk{};
    disk_charge charge;
    std::size_t extent = 0; // how far it has been written since it was empty
    bool gives_back = true; // the file system can punch holes
};

// What a call that writes is given and gives back.
struct writing {
    spool_file file;
    std::string folder; // where to make the file, if it is not open
    std::vector<chunk> data;
    std::int64_t at = 0;
    unnamed_file::done done{};
};
writing write_piece(writing w) {
    if (!w.file.on_disk.is_open()) w.done.error = w.file.on_disk.open_in(w.folder);
    if (w.done.error) return w;
    std::vector<iovec> parts;
    parts.reserve(w.data.size());
    for (chunk& c : w.data) parts.push_back({c.data(), c.size()});
    w.done = w.file.on_disk.write(parts, w.at);
    return w;
}

// The same for one that reads; it also gives the space back.
struct reading {
    spool_file file;
    chunk data;
    std::int64_t at = 0;
    bool last = false;           // nothing else is in the file
    std::size_t read_before = 0; // of the block in which `at` is, and free since
    std::size_t behind = 0;      // of the last block of the ring, behind its end
    unnamed_file::done done{};
};
reading read_piece(reading r) noexcept {
    r.done = r.file.on_disk.read(r.data.bytes(), r.at);
    if (r.done.error) return r;
    if (r.last)
        r.file.on_disk.clear();
    else if (!r.file.on_disk.discard(r.at - static_cast<std::int64_t>(r.read_before),
                                     r.read_before + r.data.size() + r.behind))
        r.file.gives_back = false;
    return r;
}

// What is kept, oldest first: `front_` in memory, then the file, a ring of `disk_limit_` bytes, then `back_` in memory.
// As long as nothing is in the file or on its way there, all is in `front_`; otherwise that has at most half of the
// memory, and new bytes go to `back_`.
//
// Three coroutines share it and wait here for each other: what reads the source, what calls the disk, and the stage
// itself on behalf of its consumer. One call to the disk runs at a time.
class spool {
public:
    enum part : std::uint8_t { source, disk, consumer };

    spool(std::size_t memory_limit, std::size_t disk_limit, const spool_options& o, place& at)
        : memory_limit_(std::max(memory_limit, spooled::memory_min)), disk_limit_(disk_limit),
          piece_(std::min(memory_limit_ / 4, chunk_bulk)), limit_(memory_limit_), folder_(o.folder), quotas_(o.quotas),
          usage_(o.usage ? o.usage : &own_usage_), at_(at) {
        pause_.of = this;
        pause_.fire = [](timer& t) { static_cast<pause&>(t).of->changed(); };
    }
    ~spool() {
        usage_->memory -= memory_told_;
        usage_->disk -= disk_told_;
    }
    spool(const spool&) = delete;
    spool& operator=(const spool&) = delete;

    // `co_await s.turn_of(part)`: waits until that part has something to do.
    class turn;
    turn turn_of(part p) noexcept;

    // For the source.
    void push(chunk item) {
        if (item.empty()) return;
        (in_memory() ? front_ : back_).add(std::move(item));
        changed();
    }
    void end() {
        ended_ = true;
        changed();
    }

    // For the consumer. Nothing: the end.
    std::optional<chunk> pop() {
        if (front_.empty()) return std::nullopt;
        chunk item = front_.take();
        changed();
        return item;
    }

    // For the disk.
    bool over() const noexcept { return ended_ && in_memory(); }
    // Whether to read, now that there is something to do: a consumer that waits comes first, then the source.
    bool reads_next() const noexcept { return may_read() && (front_.empty() || !may_write()); }
    reading begin_reading(spool_file file);
    void end_reading(reading& r);
    // Without data if there is no room for any: then there is nothing to do but to end it.
    writing begin_writing(spool_file file);
    void end_writing(writing& w);
    const std::string& folder() const noexcept { return folder_; }

private:
    struct pause : timer {
        spool* of = nullptr;
    };

    bool in_memory() const noexcept { return disk_ == 0 && being_written_ == 0; }
    std::size_t kept() const noexcept { return front_.bytes() + back_.bytes() + being_written_; } // but for the file's
    std::size_t memory() const noexcept { return kept() + being_read_; }
    bool full() const noexcept { return memory() >= limit_; }
    bool may_read() const noexcept {
        if (disk_ == 0) return false;
        return front_.empty() || (front_.bytes() + piece() <= limit_ / 2 && memory() + piece() <= limit_);
    }
    bool may_write() const noexcept {
        return !ended_ && disk_ < disk_limit_ && !pause_.armed() && (full() || back_.bytes() >= piece());
    }
    bool may_go(part p) const noexcept {
        switch (p) {
        case source: return !full();
        case disk: return may_read() || may_write() || over();
        case consumer: return !front_.empty() || over();
        }
        return false;
    }
    std::size_t piece() const noexcept { return std::min(piece_, limit_ / 4); }
    // How many bytes there are from `at` to where the ring begins again.
    std::size_t to_the_end(std::size_t at) const noexcept { return disk_limit_ - at; }
    std::size_t blocks(std::size_t bytes) const noexcept;
    std::size_t on_disk(const spool_file& f, std::size_t bytes) const noexcept;
    std::size_t room_for(spool_file& f, std::size_t bytes) const noexcept;
    void leave_alone(duration d, bool for_quota) noexcept;
    void came_back();
    void changed();

    const std::size_t memory_limit_;
    const std::size_t disk_limit_;
    const std::size_t piece_; // of one call to the disk, at the most
    std::size_t limit_;       // of memory, now: less than memory_limit_ when the process is short of it
    const std::string folder_;
    const disk_quotas* const quotas_;
    chunk_queue front_{std::min(piece_, chunk_large)};
    chunk_queue back_{std::min(piece_, chunk_large)};
    std::size_t disk_ = 0; // bytes in the file
    std::size_t read_at_ = 0;
    std::size_t being_read_ = 0; // of these, by a call that runs
    std::size_t being_written_ = 0;
    bool ended_ = false;
    pause pause_;            // armed while the disk is left alone, after it has refused, or a quota
    bool for_quota_ = false; // it was a quota
    std::array<turn*, 3> waiting_{};
    spool_usage own_usage_;
    spool_usage* usage_;
    std::size_t memory_told_ = 0;
    std::size_t disk_told_ = 0;
    place& at_;
};

class spool::turn : ready {
public:
    turn(spool& s, part p) noexcept : s_(s), part_(p) {}
    ~turn() {
        if (s_.waiting_[part_] == this) s_.waiting_[part_] = nullptr;
    }
    bool await_ready() const noexcept { return s_.may_go(part_); }
    void await_suspend(std::coroutine_handle<> h) noexcept {
        h_ = h;
        this->run = [](ready& r) {
            auto& self = static_cast<turn&>(r);
            if (!self.s_.may_go(self.part_)) return; // not any more
            self.s_.waiting_[self.part_] = nullptr;
            self.h_.resume();
        };
        s_.waiting_[part_] = this;
    }
    void await_resume() const noexcept {}
    void look() noexcept {
        if (s_.may_go(part_)) executor::current().post(*this);
    }

private:
    spool& s_;
    part part_;
    std::coroutine_handle<> h_;
};

spool::turn spool::turn_of(part p) noexcept { return {*this, p}; }

// What the blocks take in which the first `bytes` bytes of the ring lie. The first may have been read in part.
std::size_t spool::blocks(std::size_t bytes) const noexcept {
    if (bytes == 0) return 0;
    const std::size_t from = read_at_ - read_at_ % block_bytes;
    const std::size_t n = std::min(bytes, to_the_end(read_at_));
    const std::size_t all = whole_blocks(read_at_ + n) - from + whole_blocks(bytes - n);
    return std::min(all, whole_blocks(disk_limit_));
}

// What the file takes on the disk with so many bytes in it.
std::size_t spool::on_disk(const spool_file& f, std::size_t bytes) const noexcept {
    if (f.gives_back) return blocks(bytes);
    return whole_blocks(std::max(f.extent, std::min(read_at_ + bytes, disk_limit_)));
}

// How many of `bytes` bytes may be written. They are counted then.
std::size_t spool::room_for(spool_file& f, std::size_t bytes) const noexcept {
    if (!quotas_) return bytes;
    const std::size_t want = on_disk(f, disk_ + bytes);
    f.charge.grow_to(want);
    if (f.charge.bytes() >= want) return bytes;
    const std::size_t missing = whole_blocks(want - f.charge.bytes());
    const std::size_t n = missing < bytes ? bytes - missing : 0;
    return n < std::min(bytes, write_min) ? 0 : n;
}

void spool::leave_alone(duration d, bool for_quota) noexcept {
    for_quota_ = for_quota;
    executor::current().arm(pause_, d);
}

reading spool::begin_reading(spool_file file) {
    const std::size_t n = std::min({piece(), disk_, to_the_end(read_at_)});
    reading r{.file = std::move(file), .data = chunk(n), .at = static_cast<std::int64_t>(read_at_), .last = n == disk_};
    if (const std::size_t in_block = read_at_ % block_bytes; in_block <= disk_limit_ - disk_) r.read_before = in_block;
    if (n == to_the_end(read_at_)) r.behind = whole_blocks(disk_limit_) - disk_limit_;
    being_read_ = n;
    changed();
    return r;
}

void spool::end_reading(reading& r) {
    disk_ -= r.data.size();
    read_at_ = r.last ? 0 : (read_at_ + r.data.size()) % disk_limit_;
    if (r.last) r.file.extent = 0;
    r.file.charge.shrink_to(disk_ == 0 ? 0 : on_disk(r.file, disk_));
    if (for_quota_) pause_.disarm();
    front_.add(std::move(r.data));
    came_back();
}

writing spool::begin_writing(spool_file file) {
    if (in_memory()) front_.move_rest(limit_ / 2, back_);
    const std::size_t write_at = (read_at_ + disk_) % disk_limit_;
    if (quotas_ && !file.on_disk.is_open()) file.charge = disk_charge(*quotas_);
    const std::size_t most =
        room_for(file, std::min({piece(), disk_limit_ - disk_, to_the_end(write_at), back_.bytes()}));
    writing w{.file = std::move(file), .folder = {}, .data = {}, .at = static_cast<std::int64_t>(write_at)};
    if (most == 0) {
        ++usage_->waits;
        leave_alone(spooled::quota_pause, true);
    }
    if (!w.file.on_disk.is_open()) w.folder = folder_;
    while (being_written_ < most && !back_.empty()) {
        w.data.push_back(back_.take(most - being_written_));
        being_written_ += w.data.back().size();
    }
    return w;
}

void spool::end_writing(writing& w) {
    disk_ += w.done.bytes;
    usage_->spilled += w.done.bytes;
    std::size_t written = w.done.bytes;
    for (chunk& c : w.data) {
        const std::size_t n = std::min(written, c.size());
        c.remove_prefix(n);
        written -= n;
    }
    for (chunk& c : std::views::reverse(w.data))
        if (!c.empty()) back_.put_back(std::move(c));
    if (w.done.error) {
        ++usage_->refusals;
        usage_->refusal = w.done.error;
        leave_alone(pause_after_refusal, false);
    }
    if (w.done.bytes != 0) w.file.extent = std::max(w.file.extent, static_cast<std::size_t>(w.at) + w.done.bytes);
    w.file.charge.shrink_to(disk_ == 0 ? 0 : on_disk(w.file, disk_));
    came_back();
}

void spool::came_back() {
    being_read_ = being_written_ = 0;
    if (disk_ == 0) back_.move_rest(0, front_);
    changed();
}

void spool::changed() {
    limit_ = std::max(memory_share(memory_limit_), spooled::memory_min);
    const std::size_t in_ram = memory();
    usage_->memory += in_ram - memory_told_;
    usage_->memory_max = std::max(usage_->memory_max, usage_->memory);
    usage_->disk += disk_ - disk_told_;
    usage_->disk_max = std::max(usage_->disk_max, usage_->disk);
    memory_told_ = in_ram;
    disk_told_ = disk_;
    hold(at_, kept() + disk_, memory_limit_ + disk_limit_);
    for (turn* t : waiting_)
        if (t) t->look();
}

task<> read_ahead(stream<chunk> in, spool* to) {
    for (;;) {
        co_await to->turn_of(spool::source);
        auto item = co_await in.next();
        if (!item) break;
        to->push(std::move(*item));
    }
    to->end();
}

task<> call_disk(spool* of) {
    spool_file file{};
    for (;;) {
        co_await of->turn_of(spool::disk);
        if (of->over()) co_return;
        if (of->reads_next()) {
            reading r = co_await offload(
                [given = of->begin_reading(std::move(file))]() mutable { return read_piece(std::move(given)); });
            if (r.done.error) co_await fail(r.done.error, "spool file in " + of->folder());
            of->end_reading(r);
            file = std::move(r.file);
        } else {
            writing w = of->begin_writing(std::move(file));
            if (!w.data.empty())
                w = co_await offload([given = std::move(w)]() mutable { return write_piece(std::move(given)); });
            of->end_writing(w);
            file = std::move(w.file);
        }
    }
}

stream<chunk> spool_between(stream<chunk> in, std::size_t memory_limit, std::size_t disk_limit, spool_options o) {
    place& at = co_await here();
    spool all(memory_limit, disk_limit, o, at);
    strand disk, source;
    disk.start(call_disk(&all), at);
    source.start(read_ahead(std::move(in), &all), at);
    for (;;) {
        co_await all.turn_of(spool::consumer);
        std::optional<chunk> item = all.pop();
        if (!item) co_return;
        co_yield std::move(*item);
    }
}

std::string default_folder() {
    const char* set = std::getenv("TMPDIR");
    return set && *set ? set : "/var/tmp";
}

} // namespace

spooled::spooled(std::size_t memory_limit_bytes, std::size_t disk_limit_bytes, spool_options o)
    : memory_limit_(memory_limit_bytes), disk_limit_(disk_limit_bytes), options_(std::move(o)) {
    if (options_.folder.empty()) options_.folder = default_folder();
}

stream<chunk> spooled::operator()(stream<chunk> in) const {
    return spool_between(std::move(in), memory_limit_, disk_limit_, options_);
}

} // namespace headgate
