// SPDX-License-Identifier: MIT
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace wherry {
namespace {

// The numbers are the same on x86-64 and arm64 (unified since Linux 5.0).
constexpr long kOpenTree = 428, kMoveMount = 429, kFsopen = 430, kFsconfig = 431, kFsmount = 432;
constexpr long kPidfdOpen = 434, kClone3 = 435, kCloseRange = 436, kOpenat2 = 437, kMountSetattr = 442;

struct OpenHow {
  uint64_t flags, mode, resolve;
};
constexpr uint64_t kResolveNoMagiclinks = 0x02, kResolveInRoot = 0x10;
constexpr int kMaxLinks = 40;

// Takes the next component off *path; returns its length, 0 at the end.
size_t next_component(const char** path) {
  while (**path == '/') ++*path;
  return strcspn(*path, "/");
}

}  // namespace

int sys_fsopen(const char* fstype, unsigned flags) { return static_cast<int>(syscall(kFsopen, fstype, flags)); }
int sys_fsconfig(int fd, unsigned command, const char* key, const void* value, int aux) {
  return static_cast<int>(syscall(kFsconfig, fd, command, key, value, aux));
}
int sys_fsmount(int fd, unsigned flags, unsigned attrs) {
  return static_cast<int>(syscall(kFsmount, fd, flags, attrs));
}
int sys_open_tree(int dirfd, const char* path, unsigned flags) {
  return static_cast<int>(syscall(kOpenTree, dirfd, path, flags | O_CLOEXEC));
}
int sys_move_mount(int from, const char* from_path, int to, const char* to_path, unsigned flags) {
  return static_cast<int>(syscall(kMoveMount, from, from_path, to, to_path, flags));
}
int sys_mount_setattr(int dirfd, const char* path, unsigned flags, MountAttr* attr) {
  return static_cast<int>(syscall(kMountSetattr, dirfd, path, flags, attr, sizeof *attr));
}
int sys_pivot_root(const char* new_root, const char* put_old) {
  return static_cast<int>(syscall(SYS_pivot_root, new_root, put_old));
}
int sys_close_range(unsigned first, unsigned last, unsigned flags) {
  return static_cast<int>(syscall(kCloseRange, first, last, flags));
}
int sys_pidfd_open(pid_t pid) { return static_cast<int>(syscall(kPidfdOpen, pid, 0)); }
pid_t sys_clone3(CloneArgs* args) { return static_cast<pid_t>(syscall(kClone3, args, sizeof *args)); }

int walk_in_root(int root, const char* path, int flags, unsigned mode) {
  char rest[PATH_MAX];
  if (strlen(path) >= sizeof rest) return -ENAMETOOLONG;
  strcpy(rest, path);
  // A stack of descriptors makes `..` a pop, so that it cannot climb above the root however directories are moved.
  int stack[256];
  int depth = 0, links = 0, result = 0;
  stack[0] = root;
  const char* at = rest;
  while (result == 0) {
    size_t length = next_component(&at);
    if (length == 0) {
      result = openat(stack[depth], ".", flags | O_CLOEXEC | O_NOFOLLOW, mode);
      if (result < 0) result = -errno;
      break;
    }
    char name[NAME_MAX + 1];
    if (length > NAME_MAX) {
      result = -ENAMETOOLONG;
      break;
    }
    memcpy(name, at, length);
    name[length] = 0;
    at += length;
    if (strcmp(name, ".") == 0) continue;
    if (strcmp(name, "..") == 0) {
      if (depth > 0) close(stack[depth--]);
      continue;
    }
    int fd = openat(stack[depth], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    const char* after = at;
    bool last = next_component(&after) == 0;
    if (fd < 0) {
      if (errno == ENOENT && last && (flags & O_CREAT) != 0) {
        result = openat(stack[depth], name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
        if (result < 0) result = -errno;
      } else {
        result = -errno;
      }
      break;
    }
    struct stat st;
    if (fstat(fd, &st) != 0) {
      result = -errno;
    } else if (S_ISLNK(st.st_mode) && !(last && (flags & O_NOFOLLOW) != 0)) {
      char target[PATH_MAX];
      ssize_t size = readlinkat(fd, "", target, sizeof target - 1);
      if (++links > kMaxLinks) {
        result = -ELOOP;
      } else if (size < 0) {
        result = -errno;
      } else if (static_cast<size_t>(size) + strlen(at) + 2 > sizeof target) {
        result = -ENAMETOOLONG;
      } else {
        target[size] = '/';
        strcpy(target + size + 1, at);
        bool absolute = target[0] == '/';
        strcpy(rest, target);
        at = rest;
        while (absolute && depth > 0) close(stack[depth--]);
      }
    } else if (last && !S_ISDIR(st.st_mode)) {
      result = openat(stack[depth], name, (flags & ~O_CREAT) | O_NOFOLLOW | O_CLOEXEC, mode);
      if (result < 0) result = -errno;
    } else if (depth + 1 >= 256) {
      result = -ENAMETOOLONG;
    } else {
      stack[++depth] = fd;
      continue;
    }
    close(fd);
  }
  while (depth > 0) close(stack[depth--]);
  return result;
}

int open_in_root(int root, const char* path, int flags, unsigned mode) {
  OpenHow how = {static_cast<uint64_t>(flags | O_CLOEXEC), (flags & O_CREAT) != 0 ? mode : 0,
                 kResolveInRoot | kResolveNoMagiclinks};
  // EAGAIN: a rename elsewhere raced with `..`; the kernel asks to try again (openat2(2)).
  for (int tries = 0; tries < 64; tries++) {
    int fd = static_cast<int>(syscall(kOpenat2, root, path, &how, sizeof how));
    if (fd >= 0) return fd;
    if (errno == ENOSYS) return walk_in_root(root, path, flags, mode);
    if (errno != EAGAIN && errno != EINTR) return -errno;
  }
  return -EAGAIN;
}

int open_target(int root, const char* path, bool directory) {
  int fd = open_in_root(root, path, O_PATH, 0);
  if (fd != -ENOENT) return fd;
  char prefix[PATH_MAX];
  if (strlen(path) >= sizeof prefix) return -ENAMETOOLONG;
  int parent = open_in_root(root, "/", O_PATH | O_DIRECTORY, 0);
  const char* at = path;
  while (parent >= 0) {
    size_t length = next_component(&at);
    if (length == 0) return parent;
    const char* name_start = at;
    at += length;
    const char* after = at;
    bool last = next_component(&after) == 0;
    size_t used = static_cast<size_t>(at - path);
    memcpy(prefix, path, used);
    prefix[used] = 0;
    int next = open_in_root(root, prefix, O_PATH, 0);
    if (next == -ENOENT) {
      char name[NAME_MAX + 1];
      if (length > NAME_MAX) {
        close(parent);
        return -ENAMETOOLONG;
      }
      memcpy(name, name_start, length);
      name[length] = 0;
      int made = last && !directory ? mknodat(parent, name, S_IFREG | 0644, 0) : mkdirat(parent, name, 0755);
      next = made != 0 && errno != EEXIST ? -errno : open_in_root(root, prefix, O_PATH, 0);
    }
    close(parent);
    parent = next;
  }
  return parent;
}

int write_file_at(int dirfd, const char* path, const char* data, size_t size, int flags, unsigned mode) {
  int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | flags, mode);
  if (fd < 0) return -errno;
  int error = 0;
  do {
    ssize_t n = write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      error = -errno;
      break;
    }
    data += n;
    size -= static_cast<size_t>(n);
  } while (size > 0);
  if (close(fd) != 0 && error == 0) error = -errno;
  return error;
}

const char* fd_path(int fd, char buffer[32]) {
  snprintf(buffer, 32, "/proc/self/fd/%d", fd);
  return buffer;
}

}  // namespace wherry
