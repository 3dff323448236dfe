// SPDX-License-Identifier: MIT
// Steps that make files and directories, all relative to a slot and never leaving it.
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "steps.h"
#include "sys.h"

namespace wherry {

// directory slot, mode, 1 when parents may be missing; path. An existing directory is left as it is.
WHERRY_STEP(mkdir) {
  int dir = slot_fd(ctx, step.integer(0));
  const char* path = step.text(0).data;
  auto mode = static_cast<mode_t>(step.integer(1));
  if (step.integer(2) != 0) {
    int fd = open_target(dir, path, true);
    ctx->call = "mkdirat";
    if (fd < 0) return fd;
    close(fd);
    return 0;
  }
  if (mkdirat(dir, path, mode) != 0) return errno == EEXIST ? 0 : check(ctx, "mkdirat", -1);
  // The umask must not decide what a container sees.
  return check(ctx, "fchmodat", fchmodat(dir, path, mode, 0));
}

// directory slot, mode with type, major, minor; path
WHERRY_STEP(mknod) {
  dev_t device = makedev(static_cast<unsigned>(step.integer(2)), static_cast<unsigned>(step.integer(3)));
  int dir = slot_fd(ctx, step.integer(0));
  auto mode = static_cast<mode_t>(step.integer(1));
  int result = check(ctx, "mknodat", mknodat(dir, step.text(0).data, mode, device));
  return result != 0 ? result : check(ctx, "fchmodat", fchmodat(dir, step.text(0).data, mode & 07777, 0));
}

// directory slot; target, path
WHERRY_STEP(symlink) {
  if (symlinkat(step.text(0).data, slot_fd(ctx, step.integer(0)), step.text(1).data) == 0 || errno == EEXIST) return 0;
  return check(ctx, "symlinkat", -1);
}

// directory slot, mode, open flags; path, bytes
WHERRY_STEP(write_file) {
  int flags = O_WRONLY | static_cast<int>(step.integer(2));
  int fd =
      open_in_root(slot_fd(ctx, step.integer(0)), step.text(0).data, flags, static_cast<unsigned>(step.integer(1)));
  ctx->call = "openat2";
  if (fd < 0) return fd;
  Text data = step.text(1);
  ssize_t n = write(fd, data.data, data.size);
  int result = check(ctx, "write", n);
  if (result == 0 && static_cast<uint32_t>(n) != data.size) result = -ENOSPC;
  if (result == 0 && (flags & O_CREAT) != 0)
    result = check(ctx, "fchmod", fchmod(fd, static_cast<mode_t>(step.integer(1))));
  close(fd);
  return result;
}

// slot, directory slot, flags, mode; path
WHERRY_STEP(open) {
  int fd = open_in_root(slot_fd(ctx, step.integer(1)), step.text(0).data, static_cast<int>(step.integer(2)),
                        static_cast<unsigned>(step.integer(3)));
  ctx->call = "openat2";
  if (fd < 0) return fd;
  set_slot(ctx, step.integer(0), fd);
  return 0;
}

WHERRY_STEP(close) {
  int64_t slot = step.integer(0);
  if (slot >= 0 && ctx->slots[slot] >= 0) {
    close(ctx->slots[slot]);
    ctx->slots[slot] = -1;
  }
  return 0;
}

// name with slashes, value. Opened on a verified procfs, so that a fake one cannot redirect the write (CVE-2025-52881).
WHERRY_STEP(sysctl) {
  int root = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return check(ctx, "open", -1);
  struct statfs fs;
  int result = check(ctx, "fstatfs", fstatfs(root, &fs));
  if (result == 0 && fs.f_type != PROC_SUPER_MAGIC) result = -EXDEV;
  if (result == 0) {
    int fd = open_in_root(root, step.text(0).data, O_WRONLY | O_NOFOLLOW, 0);
    ctx->call = "open sysctl";
    if (fd < 0) {
      result = fd;
    } else {
      result = check(ctx, "write", write(fd, step.text(1).data, step.text(1).size));
      close(fd);
    }
  }
  close(root);
  return result;
}

// path of a cgroup.procs (v2) or tasks/cgroup.procs (v1) file. "0" means the writing process; its children are born
// there.
WHERRY_STEP(cgroup_join) {
  int result = write_file_at(AT_FDCWD, step.text(0).data, "0", 1, 0, 0);
  ctx->call = "write cgroup.procs";
  return result;
}

WHERRY_STEP(oom_score_adj) {
  char value[16];
  int n = 0;
  int64_t number = step.integer(0);
  uint64_t rest = static_cast<uint64_t>(number < 0 ? -number : number);
  char digits[8];
  int count = 0;
  do {
    digits[count++] = static_cast<char>('0' + rest % 10);
    rest /= 10;
  } while (rest != 0 && count < 8);
  if (number < 0) value[n++] = '-';
  while (count > 0) value[n++] = digits[--count];
  int result = write_file_at(AT_FDCWD, "/proc/self/oom_score_adj", value, static_cast<size_t>(n), 0, 0);
  ctx->call = "write oom_score_adj";
  return result;
}

}  // namespace wherry
