#include <headgate/io/linux_kernel.hpp>
#include <headgate/io/offload.hpp>
#include <headgate/io/open_file.hpp>
#include <headgate/testing/temporary_folder.hpp>

#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace headgate::files {
namespace {

using links = folder::links;

class open_file_test : public ::testing::Test {
protected:
    open_file_test() {
        l.set_offload_pool(pool);
        std::filesystem::create_directory(outside / "in");
        at.emplace(*folder::open(outside / "in"));
    }

    result<opened_file> find(std::string path, links follow = links::within) {
        return *l.run(at->find(std::move(path), follow));
    }
    int error_of(std::string path, links follow = links::within) {
        const auto f = find(std::move(path), follow);
        return f ? 0 : f.error().value();
    }
    void link(const std::string& to, const std::string& name) {
        std::filesystem::create_symlink(to, outside / ("in/" + name));
    }
    std::string contents(std::string path) {
        auto f = find(std::move(path));
        if (!f) return "error";
        auto data = *l.run(read_at(f->file, 0, f->facts.size));
        return data ? std::string(data->text()) : "error";
    }

    offload_pool pool{2};
    linux_kernel os;
    loop l{os};
    testing::temporary_folder outside;
    std::optional<folder> at;
};

TEST_F(open_file_test, FindsFilesAndWhatTheyAre) {
    outside.write("in/a", "hello");
    const auto f = find("a");
    ASSERT_TRUE(f);
    EXPECT_EQ(f->facts.what, file_facts::kind::regular);
    EXPECT_EQ(f->facts.size, 5u);
    struct stat s{};
    ASSERT_EQ(::stat((outside / "in/a").c_str(), &s), 0);
    EXPECT_EQ(f->facts.inode, s.st_ino);
    EXPECT_EQ(f->facts.modified, s.st_mtim.tv_sec);
    EXPECT_EQ(contents("a"), "hello");
    EXPECT_EQ(find(".")->facts.what, file_facts::kind::folder);
    EXPECT_EQ(error_of("b"), ENOENT);
    EXPECT_EQ(error_of("a/b"), ENOTDIR);
    EXPECT_EQ(error_of(std::string(300, 'x')), ENAMETOOLONG);
}

TEST_F(open_file_test, NothingOutsideIsEverOpened) {
    outside.write("secret", "secret");
    outside.write("in/a", "a");
    link("../secret", "up");
    link(outside / "secret", "absolute");
    link(outside / "in/a", "absolute-within");
    link("/proc/self/root", "magic");
    link("../in/a", "out-and-in");
    for (const char* path :
         {"../secret", "up", "absolute", "absolute-within", "magic", "out-and-in", "/etc/passwd", "./../secret"})
        EXPECT_EQ(error_of(path), EXDEV) << path;
}

TEST_F(open_file_test, LinksWithinAreFollowedUnlessNoneIs) {
    std::filesystem::create_directory(outside / "in/sub");
    outside.write("in/a", "a");
    link("a", "same");
    link("../a", "sub/up");
    link("loop", "loop");
    EXPECT_EQ(contents("same"), "a");
    EXPECT_EQ(contents("sub/up"), "a");
    EXPECT_EQ(error_of("loop"), ELOOP);
    EXPECT_EQ(error_of("same", links::never), ELOOP);
    EXPECT_EQ(error_of("sub/up", links::never), ELOOP);
    EXPECT_EQ(error_of("a", links::never), 0);
}

TEST_F(open_file_test, AFifoKeepsNobody) {
    ASSERT_EQ(::mkfifo((outside / "in/fifo").c_str(), 0600), 0);
    EXPECT_EQ(find("fifo")->facts.what, file_facts::kind::other);
}

TEST_F(open_file_test, TheFolderStaysWhenItsNameGoes) {
    outside.write("in/a", "a");
    std::filesystem::rename(outside / "in", outside / "moved");
    EXPECT_EQ(contents("a"), "a");
}

TEST_F(open_file_test, AFolderMustBeOne) {
    outside.write("file", "");
    EXPECT_EQ(folder::open(outside / "file").error().value(), ENOTDIR);
    EXPECT_EQ(folder::open(outside / "none").error().value(), ENOENT);
}

TEST_F(open_file_test, ReadsPartsAndNothingBehindTheEnd) {
    std::string text(200'000, 'x');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
    outside.write("in/a", text);
    auto f = find("a");
    ASSERT_TRUE(f);
    EXPECT_EQ(l.run(read_at(f->file, 100'001, 50'000))->value().text(), std::string_view(text).substr(100'001, 50'000));
    EXPECT_EQ(l.run(read_at(f->file, 199'990, 50'000))->value().text(), std::string_view(text).substr(199'990));
    EXPECT_TRUE(l.run(read_at(f->file, 200'000, 10))->value().empty());
    EXPECT_TRUE(f->file) << "it has come back from the pool";
    EXPECT_FALSE(*l.run(bring_in(f->file, 0, 200'000)));
    EXPECT_FALSE(*l.run(bring_in(f->file, 0, 0)));
    EXPECT_FALSE(*l.run(bring_in(f->file, 190'000, 500'000))) << "there is no more to be had, and no more to wait for";
}

TEST_F(open_file_test, WhatIsNotInMemoryIsRead) {
    outside.write("in/a", std::string(3'000'000, 'y'));
    auto f = find("a");
    ASSERT_TRUE(f);
    ::fsync(f->file.fd());
    ::posix_fadvise(f->file.fd(), 0, 0, POSIX_FADV_DONTNEED); // where the file system does that
    EXPECT_FALSE(*l.run(bring_in(f->file, 1'000'000, 500'000)));
    EXPECT_EQ(l.run(read_at(f->file, 2'000'000, 1'000'000))->value().text(), std::string(1'000'000, 'y'));
}

TEST_F(open_file_test, ADirectoryCannotBeRead) {
    auto f = find(".");
    ASSERT_TRUE(f);
    EXPECT_EQ(l.run(read_at(f->file, 0, 10))->error().value(), EISDIR);
    EXPECT_EQ(l.run(bring_in(f->file, 0, 10))->value(), EISDIR);
}

} // namespace
} // namespace headgate::files
