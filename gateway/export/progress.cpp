#include <headgate/core/sleep.hpp>

#include <cstdio>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include <gateway/export/progress.hpp>

namespace headgate::gateway {

namespace {

constexpr duration refresh = std::chrono::milliseconds(250);

std::string with_commas(std::uint64_t n) {
    std::string s = std::to_string(n);
    for (std::size_t i = s.size(); i > 3; i -= 3) s.insert(i - 3, 1, ',');
    return s;
}

std::string binary_size(double bytes) {
    constexpr const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    std::size_t u = 0;
    for (; bytes >= 1024 && u + 1 < std::size(units); ++u) bytes /= 1024;
    return fmt::format("{:.{}f} {}", bytes, u == 0 ? 0 : 1, units[u]);
}

std::string clock_text(duration d) {
    const auto s = std::chrono::duration_cast<std::chrono::seconds>(d).count();
    return s < 3600 ? fmt::format("{:02}:{:02}", s / 60, s % 60)
                    : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

bool compresses(const char* name) noexcept { return std::strcmp(name, "gzip") == 0 || std::strcmp(name, "zstd") == 0; }

} // namespace

void export_progress::show_now() {
    if (off() || pipelines_->next == pipelines_) return;
    const auto& live = static_cast<const live_pipeline&>(*pipelines_->next);
    const time_point now = executor::current().now();
    const std::vector<stage_report> parts = live.report(now);
    for (std::size_t i = 1; i < parts.size(); ++i)
        if (compresses(parts[i].name) && parts[i].bytes != 0)
            ratio_ = static_cast<double>(parts[i - 1].bytes) / static_cast<double>(parts[i].bytes);
    const std::string limit = fmt::format("limited by {}", parts[live.bottleneck(now)].name);
    write(parts.back().bytes, ratio_, now - live.started, limit.c_str());
}

void export_progress::last(const outcome& end) {
    if (off()) return;
    if (end) write(end->bytes, ratio_, std::chrono::duration_cast<duration>(end->elapsed), "done");
    if (written_) std::fputc('\n', stderr);
}

void export_progress::write(std::uint64_t bytes, double ratio, duration elapsed, const char* limit) {
    const double seconds = std::chrono::duration<double>(elapsed).count();
    std::string line = fmt::format("{} rows  {}  {}/s", with_commas(*rows_), binary_size(static_cast<double>(bytes)),
                                   binary_size(seconds > 0 ? static_cast<double>(bytes) / seconds : 0));
    if (ratio > 0) line += fmt::format("  ratio {:.1f}", ratio);
    line += fmt::format("  {}  {}", clock_text(elapsed), limit);
    fmt::print(stderr, "\r{}\x1b[K", line);
    std::fflush(stderr);
    written_ = true;
}

task<> show(export_progress* progress) {
    for (;;) {
        co_await sleep_for(progress->off() ? forever : refresh);
        progress->show_now();
    }
}

} // namespace headgate::gateway
