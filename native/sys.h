// SPDX-License-Identifier: MIT
// System calls that libc may not wrap yet, and paths resolved inside a root that is not ours.
// Context: maker and child (single-threaded; nothing here allocates).
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

namespace wherry {

struct MountAttr {
  uint64_t attr_set, attr_clr, propagation, userns_fd;
};

struct CloneArgs {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

int sys_fsopen(const char* fstype, unsigned flags);
int sys_fsconfig(int fd, unsigned command, const char* key, const void* value, int aux);
int sys_fsmount(int fd, unsigned flags, unsigned attrs);
int sys_open_tree(int dirfd, const char* path, unsigned flags);
int sys_move_mount(int from, const char* from_path, int to, const char* to_path, unsigned flags);
int sys_mount_setattr(int dirfd, const char* path, unsigned flags, MountAttr* attr);
int sys_pivot_root(const char* new_root, const char* put_old);
int sys_close_range(unsigned first, unsigned last, unsigned flags);
int sys_pidfd_open(pid_t pid);
pid_t sys_clone3(CloneArgs* args);

constexpr unsigned kFsconfigSetFlag = 0, kFsconfigSetString = 1, kFsconfigSetFd = 5, kFsconfigCreate = 6;
constexpr unsigned kMoveFromEmpty = 0x4, kMoveToEmpty = 0x40;
constexpr unsigned kOpenTreeClone = 1, kAtRecursive = 0x8000;

// Opens `path` as if `root` were the root directory: absolute names and symbolic links stay below it.
// Returns a descriptor or -errno. Magic links are refused.
int open_in_root(int root, const char* path, int flags, unsigned mode);

// The same without openat2, for kernels before 5.6; exposed for the test that compares both.
int walk_in_root(int root, const char* path, int flags, unsigned mode);

// Opens the mount target `path` below `root` with O_PATH, creating what is missing: directories 0755, and as last
// component a directory or an empty file 0644.
int open_target(int root, const char* path, bool directory);

// Writes all bytes to a fresh open of `path`, relative to `dirfd`. Returns 0 or -errno.
int write_file_at(int dirfd, const char* path, const char* data, size_t size, int flags, unsigned mode);

// "/proc/self/fd/N" in a static buffer of the caller.
const char* fd_path(int fd, char buffer[32]);

}  // namespace wherry
