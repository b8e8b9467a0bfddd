#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <gateway/export/formats.hpp>

namespace headgate::gateway {

// `headgate export`: runs a query and writes its rows to a file or to standard output. Its exit status: 0; 1 if the
// export failed, and then there is no file; 2 if the command is wrong; 128 and the number of the signal that ended it.
class export_command {
public:
    // Adds it to the command line of `app`, which must outlive this.
    explicit export_command(CLI::App& app);
    export_command(const export_command&) = delete;
    export_command& operator=(const export_command&) = delete;

    // Runs it if it was given.
    std::optional<int> run() const;

private:
    void add_csv_options();
    std::expected<csv_options, std::string> read_csv_options() const;

    CLI::App* command_;
    std::string source_;
    std::string query_;
    std::vector<std::string> parameters_;
    std::string format_ = "csv";
    std::string delimiter_ = ",";
    std::string quote_ = "minimal";
    bool header_ = true;
    std::string null_text_;
    std::string line_end_ = "crlf";
    bool bom_ = false;
    std::string non_utf8_ = "refuse";
    bool gzip_ = false;
    bool zstd_ = false;
    std::string output_;
    std::string progress_ = "auto";
};

} // namespace headgate::gateway
