// SPDX-License-Identifier: MIT
#include "remove_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

namespace wherry {
namespace {

constexpr int kMaxDepth = 2000;

void remove_children(int fd, dev_t device, int depth) {
  DIR* dir = fdopendir(fd);
  if (dir == nullptr) {
    close(fd);
    return;
  }
  while (dirent* entry = readdir(dir)) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (unlinkat(fd, entry->d_name, 0) == 0 || depth >= kMaxDepth) continue;
    // overlayfs leaves a work directory of mode 000.
    if (fchmodat(fd, entry->d_name, 0700, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT) continue;
    int child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (child >= 0 && fstat(child, &st) == 0 && st.st_dev == device) {
      remove_children(child, device, depth + 1);
    } else if (child >= 0) {
      close(child);
    }
    unlinkat(fd, entry->d_name, AT_REMOVEDIR);
  }
  closedir(dir);
}

}  // namespace

void remove_tree(const char* path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0) {
    if (fd >= 0) close(fd);
    unlink(path);
    return;
  }
  remove_children(fd, st.st_dev, 0);
  rmdir(path);
}

void remove_cgroups(const char* path) {
  DIR* dir = opendir(path);
  if (dir == nullptr) return;
  while (dirent* entry = readdir(dir)) {
    if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    char child[4096];
    if (snprintf(child, sizeof child, "%s/%s", path, entry->d_name) < static_cast<int>(sizeof child))
      remove_cgroups(child);
  }
  closedir(dir);
  for (int tries = 0; tries < 50 && rmdir(path) != 0 && errno == EBUSY; tries++) {
    timespec pause = {0, 2'000'000};
    nanosleep(&pause, nullptr);
  }
}

void remove_cgroups_by_prefix(const char* prefix) {
  const char* slash = strrchr(prefix, '/');
  char parent[4096];
  auto length = static_cast<size_t>(slash - prefix);
  if (length == 0 || length >= sizeof parent) return;
  memcpy(parent, prefix, length);
  parent[length] = 0;
  DIR* dir = opendir(parent);
  if (dir == nullptr) return;
  while (dirent* entry = readdir(dir)) {
    if (entry->d_type != DT_DIR || strncmp(entry->d_name, slash + 1, strlen(slash + 1)) != 0) continue;
    char child[4096];
    if (snprintf(child, sizeof child, "%s/%s", parent, entry->d_name) < static_cast<int>(sizeof child))
      remove_cgroups(child);
  }
  closedir(dir);
  rmdir(parent);  // stays while others have cgroups in it
}

}  // namespace wherry
