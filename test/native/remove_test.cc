// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "janitor.h"
#include "remove_tree.h"
#include "scratch.h"

using namespace wherry;
using wherry_test::Scratch;

namespace {

void make_tree(const Scratch& scratch) {
  for (const char* dir : {"tree", "tree/a", "tree/a/b", "kept"}) scratch.make_directory(dir);
  scratch.make_file("tree/a/file", "x");
  scratch.make_file("kept/file", "x");
  scratch.make_link("../../kept", "tree/a/link");
  scratch.make_link("nowhere", "tree/dangling");
  REQUIRE(mkfifoat(scratch.fd(), "tree/pipe", 0600) == 0);
}

bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 500; i++) {
    if (holds()) return true;
    usleep(10'000);
  }
  return false;
}

// The janitor forks before it knows what it will be; in the child the test must not go on.
class RunningJanitor {
 public:
  RunningJanitor() {
    // It closes descriptor 3, which in the launcher is the socket to Node.
    placeholder_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(start_janitor(&link_));
  }
  ~RunningJanitor() {
    end();
    close(placeholder_);
  }
  int socket() const { return link_.socket; }
  JanitorLink* link() { return &link_; }
  // Closes the socket and waits; returns its wait status.
  int end() {
    if (link_.pid <= 0) return -1;
    janitor_flush(&link_, true);
    close(link_.socket);
    int status = -1;
    waitpid(link_.pid, &status, 0);
    link_.pid = -1;
    free(link_.backlog);
    link_.backlog = nullptr;
    return status;
  }

 private:
  int placeholder_;
  JanitorLink link_ = {};
};

}  // namespace

TEST_CASE("a tree goes, and what its links point to stays") {
  Scratch scratch;
  make_tree(scratch);
  int before = wherry_test::open_descriptors();
  remove_tree(scratch.path("tree").c_str());
  CHECK_FALSE(scratch.exists("tree"));
  CHECK(scratch.exists("kept/file"));
  CHECK(wherry_test::open_descriptors() == before);
}

TEST_CASE("a link in place of the tree goes by itself") {
  Scratch scratch;
  make_tree(scratch);
  scratch.make_link("kept", "link");
  remove_tree(scratch.path("link").c_str());
  CHECK_FALSE(scratch.exists("link"));
  CHECK(scratch.exists("kept/file"));
}

TEST_CASE("what is missing is no trouble") {
  Scratch scratch;
  remove_tree(scratch.path("missing").c_str());
  remove_cgroups(scratch.path("missing").c_str());
  remove_cgroups_by_prefix(scratch.path("missing/x-").c_str());
  CHECK(wherry_test::open_descriptors() > 0);
}

TEST_CASE("a directory without permissions goes too") {
  Scratch scratch;
  make_tree(scratch);
  REQUIRE(fchmodat(scratch.fd(), "tree/a/b", 0, 0) == 0);
  REQUIRE(fchmodat(scratch.fd(), "tree/a", 0, 0) == 0);
  remove_tree(scratch.path("tree").c_str());
  CHECK_FALSE(scratch.exists("tree"));
}

TEST_CASE("a mount inside of the tree is not emptied") {
  Scratch scratch;
  make_tree(scratch);
  // In a namespace of its own, so that nothing of it is left whatever happens.
  pid_t pid = fork();
  if (pid == 0) {
    if (unshare(CLONE_NEWNS) != 0) _exit(77);
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(77);
    std::string point = scratch.path("tree/a/b");
    if (mount("tmpfs", point.c_str(), "tmpfs", 0, nullptr) != 0) _exit(77);
    close(open((point + "/inside").c_str(), O_CREAT | O_WRONLY, 0600));
    remove_tree(scratch.path("tree").c_str());
    _exit(access((point + "/inside").c_str(), F_OK) == 0 ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    MESSAGE("skipped: no privilege to mount");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
  CHECK_FALSE(scratch.exists("tree/a/file"));
}

TEST_CASE("cgroup directories go from the leaves up, files in them being the kernel's") {
  Scratch scratch;
  for (const char* dir : {"cg", "cg/a", "cg/a/b", "cg/c"}) scratch.make_directory(dir);
  remove_cgroups(scratch.path("cg").c_str());
  CHECK_FALSE(scratch.exists("cg"));
}

TEST_CASE("by prefix only those go that begin so, and the parent when it is empty then") {
  Scratch scratch;
  for (const char* dir : {"cg", "cg/one-1", "cg/one-2", "cg/one-2/x", "cg/other"}) scratch.make_directory(dir);
  remove_cgroups_by_prefix(scratch.path("cg/one-").c_str());
  CHECK_FALSE(scratch.exists("cg/one-1"));
  CHECK_FALSE(scratch.exists("cg/one-2"));
  CHECK(scratch.exists("cg/other"));
  remove_cgroups_by_prefix(scratch.path("cg/other").c_str());
  CHECK_FALSE(scratch.exists("cg"));
}

TEST_CASE("an entry that names no absolute path does nothing") {
  Scratch scratch;
  make_tree(scratch);
  for (const char* entry : {"", "d", "dtree", "x/tmp", "drelative/path"}) remove_entry(entry);
  remove_entry(("x" + scratch.path("tree")).c_str());
  CHECK(scratch.exists("tree/a/file"));
  remove_entry(("d" + scratch.path("tree")).c_str());
  CHECK_FALSE(scratch.exists("tree"));
}

TEST_CASE("the janitor removes what it is told, and ends with its socket") {
  Scratch scratch;
  make_tree(scratch);
  scratch.make_directory("cg");
  RunningJanitor janitor;
  std::string entries = "d" + scratch.path("tree") + '\0' + "c" + scratch.path("cg") + '\0';
  janitor_remove(janitor.link(), entries.data(), entries.size());
  CHECK(eventually([&] { return !scratch.exists("tree") && !scratch.exists("cg"); }));
  CHECK(scratch.exists("kept/file"));
  CHECK(janitor.end() == 0);
}

TEST_CASE("what the janitor was told before its socket closed is done before it ends") {
  Scratch scratch;
  RunningJanitor janitor;
  for (int i = 0; i < 50; i++) {
    std::string name = "tree-" + std::to_string(i);
    scratch.make_directory(name.c_str());
    std::string entry = "d" + scratch.path(name.c_str()) + '\0';
    janitor_remove(janitor.link(), entry.data(), entry.size());
  }
  CHECK(janitor.end() == 0);
  for (int i = 0; i < 50; i++) CHECK_FALSE(scratch.exists(("tree-" + std::to_string(i)).c_str()));
}

TEST_CASE("the janitor survives messages about processes that are gone, unknown, or held twice") {
  RunningJanitor janitor;
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  for (int i = 0; i < 200; i++) janitor_hold(janitor.socket(), child);
  janitor_exited(janitor.link(), 1'000'000);
  janitor_hold(janitor.socket(), 1'000'000);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  janitor_exited(janitor.link(), child);
  janitor_flush(janitor.link(), true);
  // A message too short to be one ends it, as the end of the socket does.
  CHECK(send(janitor.socket(), "x", 1, MSG_NOSIGNAL) == 1);
  CHECK(janitor.end() == 0);
}
