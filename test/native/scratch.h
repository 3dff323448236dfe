// SPDX-License-Identifier: MIT
// A directory for one test, removed at its end.
#pragma once

#include <dirent.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace wherry_test {

inline int open_descriptors() {
  int count = 0;
  DIR* dir = opendir("/proc/self/fd");
  while (readdir(dir) != nullptr) count++;
  closedir(dir);
  return count;
}

class Scratch {
 public:
  Scratch() {
    char path[] = "/tmp/wherry-native-XXXXXX";
    REQUIRE(mkdtemp(path) != nullptr);
    path_ = path;
    fd_ = ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(fd_ >= 0);
  }
  ~Scratch() {
    close(fd_);
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  int fd() const { return fd_; }
  std::string path(const char* name) const { return path_ + "/" + name; }

  void make_directory(const char* name) const { REQUIRE(mkdirat(fd_, name, 0755) == 0); }
  void make_link(const char* target, const char* name) const { REQUIRE(symlinkat(target, fd_, name) == 0); }
  void make_file(const char* name, const std::string& text) const {
    int file = openat(fd_, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    REQUIRE(file >= 0);
    CHECK(write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    close(file);
  }

  int open(const char* name) const { return openat(fd_, name, O_PATH | O_NOFOLLOW | O_CLOEXEC); }
  bool exists(const char* name) const { return faccessat(fd_, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0; }
  mode_t mode(const char* name) const {
    struct stat st = {};
    fstatat(fd_, name, &st, AT_SYMLINK_NOFOLLOW);
    return st.st_mode;
  }
  std::string read(const char* name) const {
    std::string text;
    char buffer[4096];
    int file = openat(fd_, name, O_RDONLY | O_CLOEXEC);
    for (ssize_t n; (n = ::read(file, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
    close(file);
    return text;
  }

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace wherry_test
