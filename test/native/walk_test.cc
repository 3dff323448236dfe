// SPDX-License-Identifier: MIT
// Paths below a root that is not ours: our own walk, and openat2 as the judge of it.
#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "scratch.h"
#include "sys.h"

using namespace wherry;
using wherry_test::Scratch;

namespace {

// What a descriptor or an error is: the same text for the same file.
std::string identity(int fd) {
  if (fd < 0) return "errno " + std::to_string(-fd);
  struct stat st;
  REQUIRE(fstat(fd, &st) == 0);
  close(fd);
  return "inode " + std::to_string(st.st_ino);
}

std::string resolve(const Scratch& scratch, const char* path, int flags = O_PATH) {
  int root = scratch.open("root");
  std::string walked = identity(walk_in_root(root, path, flags, 0));
  std::string asked = identity(open_in_root(root, path, flags, 0));
  close(root);
  CAPTURE(std::string(path));
  CHECK(walked == asked);
  return walked;
}

std::string inode(const Scratch& scratch, const char* path) { return identity(scratch.open(path)); }

// root/ is the root; outside/ is what nothing may reach.
void make_tree(const Scratch& scratch) {
  for (const char* dir : {"outside", "root", "root/a", "root/a/b", "root/a/b/c", "root/x"}) scratch.make_directory(dir);
  for (const char* file : {"outside/secret", "root/file", "root/a/b/file"}) scratch.make_file(file, "text");
  for (auto [target, path] : {
           std::pair{"/", "root/to-root"},
           {"..", "root/to-parent"},
           {"../../../..", "root/a/far-up"},
           {"/a/b", "root/absolute"},
           {"b/c", "root/a/relative"},
           {"../file", "root/a/up-to-file"},
           {"/../../outside/secret", "root/escape"},
           {"../outside", "root/escape-relative"},
           {"loop-b", "root/loop-a"},
           {"loop-a", "root/loop-b"},
           {"itself/deeper", "root/itself"},
           {"nowhere", "root/dangling"},
           {"a//./b///", "root/untidy"},
           {"absolute/c", "root/through"},
           {"file", "root/to-file"},
       })
    scratch.make_link(target, path);
  std::string at = "root/chain-0";
  scratch.make_link("x", at.c_str());
  for (int i = 1; i <= 45; i++) {
    std::string path = "root/chain-" + std::to_string(i);
    scratch.make_link(("chain-" + std::to_string(i - 1)).c_str(), path.c_str());
  }
}

}  // namespace

TEST_CASE("the walk ends where openat2 does") {
  Scratch scratch;
  make_tree(scratch);
  const std::vector<const char*> paths = {
      "/",
      ".",
      "..",
      "../..",
      "a",
      "/a",
      "a/",
      "a/.",
      "a/..",
      "a/../..",
      "a/b/c",
      "//a//b//",
      "a/b/../../x",
      "file",
      "file/.",
      "file/x",
      "missing",
      "missing/x",
      "a/missing",
      "to-root",
      "to-root/a",
      "to-parent",
      "to-parent/to-parent/a",
      "a/far-up",
      "a/far-up/x",
      "absolute",
      "absolute/c",
      "absolute/..",
      "a/relative",
      "a/relative/..",
      "a/relative/../file",
      "a/up-to-file",
      "escape",
      "escape/x",
      "escape-relative",
      "escape-relative/secret",
      "loop-a",
      "loop-a/x",
      "itself",
      "dangling",
      "dangling/x",
      "untidy",
      "untidy/c",
      "through",
      "through/..",
      "to-file",
      "chain-0",
      "chain-39",
      "chain-40",
      "chain-45",
  };
  for (const char* path : paths) {
    resolve(scratch, path);
    resolve(scratch, path, O_PATH | O_NOFOLLOW);
    resolve(scratch, path, O_RDONLY | O_NONBLOCK);
    resolve(scratch, path, O_RDONLY | O_DIRECTORY);
  }
}

TEST_CASE("a file that stands where a directory should is passed over, where openat2 refuses, but inside") {
  Scratch scratch;
  make_tree(scratch);
  int root = scratch.open("root");
  for (auto [path, inside] : {std::pair{"file/", "root/file"}, {"to-file/", "root/file"}, {"file/..", "root"}}) {
    CAPTURE(std::string(path));
    CHECK(identity(walk_in_root(root, path, O_PATH, 0)) == inode(scratch, inside));
    CHECK(open_in_root(root, path, O_PATH, 0) == -ENOTDIR);
  }
  close(root);
}

TEST_CASE("nothing leads out") {
  Scratch scratch;
  make_tree(scratch);
  std::string root = inode(scratch, "root");
  CHECK(resolve(scratch, "..") == root);
  CHECK(resolve(scratch, "a/../../../..") == root);
  CHECK(resolve(scratch, "to-parent") == root);
  CHECK(resolve(scratch, "a/far-up") == root);
  CHECK(resolve(scratch, "escape") == "errno " + std::to_string(ENOENT));
  CHECK(resolve(scratch, "escape-relative/secret") == "errno " + std::to_string(ENOENT));
  CHECK(resolve(scratch, "absolute") == inode(scratch, "root/a/b"));
  CHECK(resolve(scratch, "loop-a") == "errno " + std::to_string(ELOOP));
}

TEST_CASE("names and paths that are too long are refused") {
  Scratch scratch;
  make_tree(scratch);
  CHECK(resolve(scratch, std::string(256, 'n').c_str()) == "errno " + std::to_string(ENAMETOOLONG));
  CHECK(resolve(scratch, std::string(5000, '/').c_str()) == "errno " + std::to_string(ENAMETOOLONG));
  int root = scratch.open("root");
  CHECK(open_target(root, std::string(256, 'n').c_str(), true) == -ENAMETOOLONG);
  CHECK(open_target(root, ("a/" + std::string(5000, 'n')).c_str(), true) == -ENAMETOOLONG);
  close(root);
}

TEST_CASE("a walk into more directories than it can remember is refused, and leaks nothing") {
  Scratch scratch;
  scratch.make_directory("root");
  std::string path = "root";
  for (int i = 0; i < 300; i++) scratch.make_directory((path += "/d").c_str());
  int root = scratch.open("root");
  int before = wherry_test::open_descriptors();
  CHECK(walk_in_root(root, path.c_str() + 5, O_PATH, 0) == -ENAMETOOLONG);
  CHECK(wherry_test::open_descriptors() == before);
  close(root);
}

TEST_CASE("a file is created where openat2 would create it") {
  Scratch scratch;
  make_tree(scratch);
  int root = scratch.open("root");
  int fd = walk_in_root(root, "absolute/new", O_WRONLY | O_CREAT | O_EXCL, 0600);
  REQUIRE(fd >= 0);
  close(fd);
  CHECK(scratch.exists("root/a/b/new"));
  CHECK(walk_in_root(root, "missing/new", O_WRONLY | O_CREAT, 0600) == -ENOENT);
  fd = walk_in_root(root, "escape-relative/new", O_WRONLY | O_CREAT, 0600);
  CHECK(fd == -ENOENT);
  CHECK_FALSE(scratch.exists("outside/new"));
  close(root);
}

TEST_CASE("every descriptor of a walk is closed but the one it returns") {
  Scratch scratch;
  make_tree(scratch);
  int root = scratch.open("root");
  int before = wherry_test::open_descriptors();
  for (const char* path :
       {"a/b/c", "loop-a", "missing/x", "a/relative/../file", "escape", "file/x", "chain-45", ".."}) {
    int fd = walk_in_root(root, path, O_PATH, 0);
    if (fd >= 0) close(fd);
    fd = open_target(root, path, true);
    if (fd >= 0) close(fd);
    CAPTURE(std::string(path));
    CHECK(wherry_test::open_descriptors() == before);
  }
  close(root);
}

TEST_CASE("`..` stays inside while directories are moved about") {
  Scratch scratch;
  make_tree(scratch);
  std::string outside = inode(scratch, "outside"), base = inode(scratch, ".");
  std::atomic<bool> stop{false};
  std::thread mover([&] {
    // Into the sibling outside of the root and back: where the kernel's `..` would look, a walker must not.
    while (!stop) {
      renameat(scratch.fd(), "root/a/b", scratch.fd(), "outside/b");
      renameat(scratch.fd(), "outside/b", scratch.fd(), "root/a/b");
    }
  });
  int root = scratch.open("root");
  for (int i = 0; i < 3000; i++) {
    for (bool walked : {true, false}) {
      const char* path = i % 2 == 0 ? "a/b/c/../.." : "a/b/c/../../..";
      int fd = walked ? walk_in_root(root, path, O_PATH, 0) : open_in_root(root, path, O_PATH, 0);
      if (fd < 0) {
        bool expected = fd == -ENOENT || fd == -EAGAIN || fd == -EXDEV;
        REQUIRE(expected);
        continue;
      }
      std::string found = identity(fd);
      REQUIRE(found != outside);
      REQUIRE(found != base);
    }
  }
  stop = true;
  mover.join();
  close(root);
}

TEST_CASE("a mount target is made where it is missing, inside the root") {
  Scratch scratch;
  make_tree(scratch);
  int root = scratch.open("root");
  auto target = [&](const char* path, bool directory) { return identity(open_target(root, path, directory)); };
  for (auto [path, directory, place] : {
           std::tuple{"/a/b", true, "root/a/b"},
           {"/", true, "root"},
           {"/new/deep/dir", true, "root/new/deep/dir"},
           {"/new/deep/file", false, "root/new/deep/file"},
           {"/absolute/made", true, "root/a/b/made"},
           {"/../../made", true, "root/made"},
       }) {
    CAPTURE(std::string(path));
    std::string opened = target(path, directory);
    CHECK(opened == inode(scratch, place));
  }
  CHECK(scratch.mode("root/new/deep/dir") == (S_IFDIR | 0755));
  CHECK(scratch.mode("root/new/deep/file") == (S_IFREG | 0644));
  CHECK(target("/escape-relative/made", true).substr(0, 5) == "errno");
  CHECK(target("/dangling/x", true).substr(0, 5) == "errno");
  CHECK(target("/file/x", true) == "errno " + std::to_string(ENOTDIR));
  CHECK_FALSE(scratch.exists("made"));
  CHECK_FALSE(scratch.exists("outside/made"));
  close(root);
}

TEST_CASE("a file is written whole, and an error is told") {
  Scratch scratch;
  std::string text(100'000, 'x');
  CHECK(write_file_at(scratch.fd(), "new", text.data(), text.size(), O_CREAT | O_EXCL, 0640) == 0);
  CHECK(scratch.read("new") == text);
  CHECK(write_file_at(scratch.fd(), "new", "a", 1, O_CREAT | O_EXCL, 0640) == -EEXIST);
  CHECK(write_file_at(scratch.fd(), "missing/new", "a", 1, O_CREAT, 0640) == -ENOENT);
  CHECK(write_file_at(scratch.fd(), "new", "", 0, O_TRUNC, 0) == 0);
  CHECK(scratch.read("new").empty());
}
