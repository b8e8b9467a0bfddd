// Runs the examples as a user would and checks what they print, what they leave and what they do not.

#include <headgate/core/chunk.hpp>
#include <headgate/testing/temporary_folder.hpp>

#include <cstdio>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using names = std::set<std::string>;

struct ended {
    int status; // as of a shell: 128 and the signal if one killed it
    std::string output;
};

// Runs a line of shell, with the examples in the path.
ended shell(const std::string& line) {
    const std::string command = "PATH=" HEADGATE_EXAMPLES ":$PATH; { " + line + "; } 2>&1";
    std::FILE* p = ::popen(command.c_str(), "r");
    if (!p) throw std::runtime_error("no shell");
    ended e;
    char some[4096];
    while (const std::size_t n = std::fread(some, 1, sizeof some, p)) e.output.append(some, n);
    const int status = ::pclose(p);
    e.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return e;
}

std::string log_lines(int count) {
    std::string text;
    for (int i = 1; i <= count; ++i) text += "INFO request " + std::to_string(i) + " was served\n";
    return text;
}

class examples : public ::testing::Test {
protected:
    // The command, run in the test's folder.
    ended run(const std::string& line) { return shell("cd " + folder / "." + " && " + line); }

    headgate::testing::temporary_folder folder;
};

TEST_F(examples, CompressFileMakesAGzipFile) {
    const std::string contents = log_lines(100'000);
    folder.write("in.csv", contents);
    const ended e = run("compress_file in.csv out.gz && gzip -t out.gz && zcat out.gz | cmp - in.csv && echo same");
    EXPECT_EQ(e.status, 0);
    EXPECT_THAT(e.output, StartsWith("out.gz: " + std::to_string(contents.size()) + " bytes became "));
    EXPECT_THAT(e.output, HasSubstr("same\n"));
    EXPECT_EQ(folder.names(), (names{"in.csv", "out.gz"}));
}

TEST_F(examples, CompressFileNeedsItsInput) {
    const ended e = run("compress_file none.csv out.gz");
    EXPECT_EQ(e.status, 1);
    EXPECT_EQ(e.output, "error: No such file or directory at stage 0 (source): none.csv\n");
    EXPECT_EQ(folder.names(), names());
}

TEST_F(examples, CompressFileLeavesNothingOnAFullDisk) {
    folder.write("in.csv", log_lines(100'000));
    const ended e = run("ulimit -f 100 && compress_file in.csv out.gz");
    EXPECT_EQ(e.status, 1);
    EXPECT_EQ(e.output, "error: File too large at stage 3 (sink): out.gz\n");
    EXPECT_EQ(folder.names(), names{"in.csv"});
}

// Its input is a pipe that never ends; once the unfinished output is there, it is told to stop.
TEST_F(examples, CompressFileLeavesNothingWhenItIsStopped) {
    const ended e = run("mkfifo in && { compress_file in out.gz & } && exec 3>in && head -c 3000000 /dev/urandom >&3; "
                        "until ls | grep -q part; do :; done; kill -TERM $!; exec 3>&-; wait $!");
    EXPECT_EQ(e.status, 128 + SIGTERM) << e.output;
    EXPECT_EQ(folder.names(), names{"in"});
}

TEST_F(examples, ScanLogStopsAtTheFirstMatch) {
    const std::string before = log_lines(50'000);
    folder.write("log", before + "ERROR out of cheese\n" + log_lines(200'000) + "ERROR again\n");
    const ended e = run("scan_log log ERROR");
    EXPECT_EQ(e.status, 0);
    EXPECT_THAT(e.output, StartsWith("line 50001: ERROR out of cheese\n"));
    const std::size_t read = std::stoul(e.output.substr(e.output.find('\n') + 1));
    EXPECT_GE(read, before.size());
    EXPECT_LE(read, before.size() + headgate::chunk_bulk);
}

TEST_F(examples, ScanLogSaysWhenThereIsNothing) {
    folder.write("log", "INFO fine");
    const ended e = run("scan_log log ERROR");
    EXPECT_EQ(e.status, 3);
    EXPECT_EQ(e.output, "not found in 9 bytes\n");
}

TEST_F(examples, ScanLogNeedsItsFile) {
    const ended e = run("scan_log none ERROR");
    EXPECT_EQ(e.status, 1);
    EXPECT_THAT(e.output, HasSubstr("No such file or directory"));
    EXPECT_THAT(e.output, HasSubstr("none"));
}

// A pipe that is full already: whoever writes to it waits.
class full_pipe {
public:
    full_pipe() {
        if (::pipe2(ends_, O_CLOEXEC | O_NONBLOCK) != 0) throw std::runtime_error("no pipe");
        const std::string some(4096, '.');
        while (::write(ends_[1], some.data(), some.size()) > 0) {
        }
        ::fcntl(ends_[1], F_SETFL, 0);
    }
    ~full_pipe() {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    int in() const { return ends_[1]; }
    // Takes everything out until no one can write any more.
    void drain() {
        ::close(std::exchange(ends_[1], -1));
        ::fcntl(ends_[0], F_SETFL, 0);
        char some[4096];
        while (::read(ends_[0], some, sizeof some) > 0) {
        }
    }

private:
    int ends_[2];
};

bool has_open(pid_t process, const std::string& path) {
    for (const auto& fd : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/fd")) {
        std::error_code gone;
        if (std::filesystem::read_symlink(fd.path(), gone) == path) return true;
    }
    return false;
}
// Whether the process's main thread is inside write(1, ...). The system call's number and its first argument, from
// proc(5).
bool writes_output(pid_t process) {
    std::ifstream in("/proc/" + std::to_string(process) + "/syscall");
    std::string call, first;
    return in >> call >> first && call == std::to_string(SYS_write) && first == "0x1";
}

// Stopped at the moment when it prints the match, it has the log closed.
TEST_F(examples, ScanLogHasClosedTheFileWhenItTellsOfTheMatch) {
    if (!std::ifstream("/proc/self/syscall").good())
        GTEST_SKIP() << "this system does not show what a process waits for";
    const std::string path = folder.write("log", log_lines(100'000) + "ERROR\n" + log_lines(100'000));
    full_pipe output;
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(output.in(), 1);
        ::execl(HEADGATE_EXAMPLES "/scan_log", "scan_log", path.c_str(), "ERROR", nullptr);
        ::_exit(127);
    }
    ASSERT_GT(child, 0);
    while (!writes_output(child)) {
        int status;
        ASSERT_EQ(::waitpid(child, &status, WNOHANG), 0) << "ended before it wrote";
    }
    EXPECT_FALSE(has_open(child, path));
    output.drain();
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

TEST_F(examples, SharedStageMakesThreeReports) {
    folder.write("batch.txt", "apples 3\nred pears 4\n");
    const ended e =
        run("shared_stage . && zcat orders.csv.gz | tail -1 && zcat report.csv.gz | wc -l && zcat batch.csv.gz");
    EXPECT_EQ(e.status, 0);
    EXPECT_THAT(e.output, HasSubstr("\"No. 49999, \"\"Ltd\"\"\",4999900\n13\nname,value\napples,3\nred pears,4\n"));
    EXPECT_EQ(folder.names(), (names{"batch.txt", "orders.csv.gz", "report.csv.gz", "batch.csv.gz"}));
}

TEST_F(examples, SharedStageLeavesNoReportThatFailed) {
    folder.write("batch.txt", "apples 3\nnonsense\n");
    const ended e = run("shared_stage .");
    EXPECT_EQ(e.status, 1);
    EXPECT_THAT(e.output,
                HasSubstr("batch: protocol error at stage 2 (stage): 'nonsense' is not a name and a number\n"));
    EXPECT_EQ(folder.names(), (names{"batch.txt", "orders.csv.gz", "report.csv.gz"}));
}

// An HTTP server for one connection: sends `answer` after the request's head, and then ends, or waits until the client
// has.
class one_answer_server {
public:
    one_answer_server(std::string answer, bool waits) : answer_(std::move(answer)), waits_(waits) {
        listening_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        if (::bind(listening_, reinterpret_cast<sockaddr*>(&at), size) != 0 || ::listen(listening_, 1) != 0 ||
            ::getsockname(listening_, reinterpret_cast<sockaddr*>(&at), &size) != 0)
            throw std::runtime_error("no server");
        url = "http://127.0.0.1:" + std::to_string(ntohs(at.sin_port)) + "/orders.csv";
        thread_ = std::thread([this] { serve(); });
    }
    // Waits for the one connection to end.
    ~one_answer_server() {
        thread_.join();
        ::close(listening_);
    }
    std::string url;

private:
    void serve() {
        const int fd = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
        std::string request;
        char some[4096];
        while (request.find("\r\n\r\n") == std::string::npos) {
            const ssize_t n = ::recv(fd, some, sizeof some, 0);
            if (n <= 0) break;
            request.append(some, static_cast<std::size_t>(n));
        }
        ::send(fd, answer_.data(), answer_.size(), MSG_NOSIGNAL);
        while (waits_ && ::recv(fd, some, sizeof some, 0) > 0) {
        }
        ::close(fd);
    }

    std::string answer_;
    bool waits_;
    int listening_;
    std::thread thread_;
};

TEST_F(examples, FetchRelayMovesTheBody) {
    const std::string body = log_lines(10'000);
    one_answer_server server("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body,
                             true);
    folder.write("expected", body);
    const ended e = run("fetch_relay " + server.url + " 20 out.gz && zcat out.gz | cmp - expected && echo same");
    EXPECT_EQ(e.status, 0);
    EXPECT_THAT(e.output, HasSubstr("same\n"));
}

TEST_F(examples, FetchRelayTakesChunks) {
    one_answer_server server(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", true);
    const ended e = run("fetch_relay " + server.url + " 20 out.gz > /dev/null && zcat out.gz");
    EXPECT_EQ(e.status, 0);
    EXPECT_EQ(e.output, "abcde");
}

TEST_F(examples, FetchRelayEndsAtItsDeadline) {
    one_answer_server server("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all", true);
    const ended e = run("fetch_relay " + server.url + " 1 out.gz");
    EXPECT_EQ(e.status, 4);
    EXPECT_EQ(e.output, "timed out by the caller\n");
    EXPECT_EQ(folder.names(), names());
}

TEST_F(examples, FetchRelayDoesNotTakeACutForAnEnd) {
    for (const char* cut :
         {"Content-Length: 100\r\n\r\nnot all", "Transfer-Encoding: chunked\r\n\r\n7\r\nnot all\r\n"}) {
        one_answer_server server(std::string("HTTP/1.1 200 OK\r\n") + cut, false);
        const ended e = run("fetch_relay " + server.url + " 20 out.gz");
        EXPECT_EQ(e.status, 1);
        EXPECT_EQ(e.output, "premature close at stage 0 (source)\n");
        EXPECT_EQ(folder.names(), names());
    }
}

TEST_F(examples, FetchRelaySaysWhatTheServerSays) {
    one_answer_server server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", true);
    const ended e = run("fetch_relay " + server.url + " 20 out.gz");
    EXPECT_EQ(e.status, 1);
    EXPECT_EQ(e.output, "refused at stage 0 (source): 404 Not Found for " + server.url + "\n");
    EXPECT_EQ(folder.names(), names());
}

TEST_F(examples, FetchRelayNeedsAUrl) {
    const ended e = run("fetch_relay ftp://x 20 out.gz");
    EXPECT_EQ(e.status, 1);
    EXPECT_THAT(e.output, HasSubstr("write http://host:port/path"));
}

} // namespace
