// SPDX-License-Identifier: MIT
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>

#include "sys.h"

namespace wherry {

unsigned long attr_to_flags(uint64_t attr) {
  auto bit = [attr](uint64_t has, unsigned long gives) { return (attr & has) != 0 ? gives : 0ul; };
  return bit(kAttrReadOnly, MS_RDONLY) | bit(kAttrNosuid, MS_NOSUID) | bit(kAttrNodev, MS_NODEV) |
         bit(kAttrNoexec, MS_NOEXEC);
}

int target_fd(Context* ctx, int64_t slot, const char* path, bool directory) {
  int fd = path[0] == 0 ? openat(slot_fd(ctx, slot), ".", O_PATH | O_CLOEXEC)
                        : open_target(slot_fd(ctx, slot), path, directory);
  ctx->call = "open mount target";
  return path[0] == 0 && fd < 0 ? -errno : fd;
}

int attach(Context* ctx, int mount_fd, int target) {
  return check(ctx, "move_mount", sys_move_mount(mount_fd, "", target, "", kMoveFromEmpty | kMoveToEmpty));
}

int old_mount(Context* ctx, const char* source, int target, const char* type, uint64_t attr, const char* data) {
  char path[32];
  return check(ctx, "mount", mount(source, fd_path(target, path), type, attr_to_flags(attr), data));
}

int reopen(Context* ctx, int64_t target_slot, const char* path, int64_t slot) {
  int fd = path[0] == 0 ? -EINVAL : open_in_root(slot_fd(ctx, target_slot), path, O_PATH, 0);
  if (fd < 0) return fd;
  set_slot(ctx, slot, fd);
  return 0;
}

}  // namespace wherry
