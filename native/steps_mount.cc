// SPDX-License-Identifier: MIT
// Steps that build the mount tree. Every target below the new root is opened first and mounted by descriptor, so that a
// symbolic link planted in an image cannot move a mount (CVE-2021-30465).
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "mount.h"
#include "steps.h"
#include "sys.h"

namespace wherry {
namespace {

int configure(Context* ctx, int fs, const Step& step, int first) {
  for (int i = first; i < step.string_count; i++) {
    char option[512];
    Text text = step.text(i);
    if (text.size >= sizeof option) return -E2BIG;
    memcpy(option, text.data, text.size + 1);
    char* equals = strchr(option, '=');
    if (equals != nullptr) *equals = 0;
    int result = equals == nullptr ? sys_fsconfig(fs, kFsconfigSetFlag, option, nullptr, 0)
                                   : sys_fsconfig(fs, kFsconfigSetString, option, equals + 1, 0);
    if (result != 0) return check(ctx, "fsconfig", result);
  }
  return check(ctx, "fsconfig", sys_fsconfig(fs, kFsconfigCreate, nullptr, nullptr, 0));
}

int join_options(const Step& step, int first, char* out, size_t size) {
  size_t used = 0;
  out[0] = 0;
  for (int i = first; i < step.string_count; i++) {
    Text text = step.text(i);
    if (used + text.size + 2 > size) return -E2BIG;
    if (used > 0) out[used++] = ',';
    memcpy(out + used, text.data, text.size + 1);
    used += text.size;
  }
  return 0;
}

int bind_new(Context* ctx, int source, int target, unsigned recursive, MountAttr* attr) {
  int tree = sys_open_tree(source, "", AT_EMPTY_PATH | kOpenTreeClone | recursive);
  if (tree < 0) return check(ctx, "open_tree", -1);
  int result = 0;
  if (attr->attr_set != 0 || attr->attr_clr != 0 || attr->propagation != 0)
    result = check(ctx, "mount_setattr", sys_mount_setattr(tree, "", AT_EMPTY_PATH | recursive, attr));
  if (result == 0) result = attach(ctx, tree, target);
  close(tree);
  return result;
}

int bind_old(Context* ctx, int source, int target, bool recursive, uint64_t attr, const char* target_path,
             int64_t target_slot) {
  char from[32], to[32];
  unsigned long flags = MS_BIND | (recursive ? MS_REC : 0);
  int result = check(ctx, "mount", mount(fd_path(source, from), fd_path(target, to), nullptr, flags, nullptr));
  if (result != 0 || attr == 0) return result;
  int mounted = open_in_root(slot_fd(ctx, target_slot), target_path, O_PATH, 0);
  if (mounted < 0) return mounted;
  flags = MS_BIND | MS_REMOUNT | attr_to_flags(attr);
  result = check(ctx, "mount", mount(nullptr, fd_path(mounted, to), nullptr, flags, nullptr));
  close(mounted);
  return result;
}

int bind_fd(Context* ctx, int source, int64_t target_slot, const char* target_path, bool directory, bool recursive,
            MountAttr* attr) {
  int target = target_fd(ctx, target_slot, target_path, directory);
  if (target < 0) return target;
  int result = bind_new(ctx, source, target, recursive ? kAtRecursive : 0, attr);
  bool can_fall_back = (attr->attr_set & kAttrIdmap) == 0 && attr->propagation == 0;
  if (result == -ENOSYS && can_fall_back)
    result = bind_old(ctx, source, target, recursive, attr->attr_set, target_path, target_slot);
  close(target);
  return result;
}

int open_device(Context* ctx, const char* path, unsigned major_number, unsigned minor_number) {
  int fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return check(ctx, "open", -1);
  struct stat st;
  // The inode must be the device that was asked for, whatever now has its name (CVE-2025-31133).
  bool right = fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(major_number, minor_number);
  if (right) return fd;
  close(fd);
  ctx->call = "verify device";
  return -ENODEV;
}

}  // namespace

WHERRY_STEP(propagation) {
  return check(ctx, "mount",
               mount(nullptr, step.text(0).data, nullptr, static_cast<unsigned long>(step.integer(0)), nullptr));
}

// slot, target slot, attributes, 1: stays unattached; type, target, options…
WHERRY_STEP(fsmount) {
  const char* type = step.text(0).data;
  const char* path = step.text(1).data;
  auto attr = static_cast<uint64_t>(step.integer(2));
  bool unattached = step.int_count > 3 && step.integer(3) != 0;
  int target = unattached ? -1 : target_fd(ctx, step.integer(1), path, true);
  if (target < 0 && !unattached) return target;
  int result;
  int fs = sys_fsopen(type, kFsopenCloexec);
  if (fs < 0 && errno == ENOSYS && !unattached) {
    char options[2048];
    result = join_options(step, 2, options, sizeof options);
    if (result == 0) result = old_mount(ctx, type, target, type, attr, options);
    close(target);
    return result != 0 ? result : reopen(ctx, step.integer(1), path, step.integer(0));
  }
  if (fs < 0) {
    result = check(ctx, "fsopen", -1);
  } else {
    result = configure(ctx, fs, step, 2);
    int made = result == 0 ? sys_fsmount(fs, kFsmountCloexec, static_cast<unsigned>(attr)) : -1;
    if (result == 0 && made < 0) result = check(ctx, "fsmount", -1);
    close(fs);
    if (made >= 0) {
      if (!unattached) result = attach(ctx, made, target);
      set_slot(ctx, result == 0 ? step.integer(0) : -1, made);
    }
  }
  if (target >= 0) close(target);
  return result;
}

// slot, directory slot, flags, verify-is-directory; path
WHERRY_STEP(open_tree) {
  const char* path = step.text(0).data;
  auto flags = static_cast<unsigned>(step.integer(2));
  if (path[0] == 0) flags |= AT_EMPTY_PATH;
  int fd = sys_open_tree(slot_fd(ctx, step.integer(1)), path, flags);
  if (fd < 0) return check(ctx, "open_tree", -1);
  set_slot(ctx, step.integer(0), fd);
  return 0;
}

// slot, set, clear, propagation, recursive, user namespace slot
WHERRY_STEP(mount_setattr) {
  MountAttr attr = {static_cast<uint64_t>(step.integer(1)), static_cast<uint64_t>(step.integer(2)),
                    static_cast<uint64_t>(step.integer(3)), 0};
  if (step.integer(5) >= 0) {
    attr.attr_set |= kAttrIdmap;
    attr.userns_fd = static_cast<uint64_t>(slot_fd(ctx, step.integer(5)));
  }
  unsigned flags = AT_EMPTY_PATH | (step.integer(4) != 0 ? kAtRecursive : 0);
  int fd = slot_fd(ctx, step.integer(0));
  int result = sys_mount_setattr(fd, "", flags, &attr);
  if (result != 0 && errno == ENOSYS && attr.attr_set == kAttrReadOnly && attr.attr_clr == 0) {
    char path[32];
    return check(ctx, "mount", mount(nullptr, fd_path(fd, path), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr));
  }
  return check(ctx, "mount_setattr", result);
}

// from slot, target slot, target is a directory; target
WHERRY_STEP(move_mount) {
  int target = target_fd(ctx, step.integer(1), step.text(0).data, step.integer(2) != 0);
  if (target < 0) return target;
  int from = slot_fd(ctx, step.integer(0));
  int result = attach(ctx, from, target);
  if (result == -ENOSYS) {
    char source[32], to[32];
    result = check(ctx, "mount", mount(fd_path(from, source), fd_path(target, to), nullptr, MS_MOVE, nullptr));
  }
  close(target);
  return result;
}

// source slot, target slot, flags (1 recursive, 2 source may be missing), attributes to set, user namespace slot,
// propagation; source, target
WHERRY_STEP(bind) {
  const char* source_path = step.text(0).data;
  int64_t flags = step.integer(2);
  int source = openat(slot_fd(ctx, step.integer(0)), source_path[0] == 0 ? "." : source_path, O_PATH | O_CLOEXEC);
  if (source < 0 && source_path[0] == 0 && errno == ENOTDIR) source = dup(slot_fd(ctx, step.integer(0)));
  if (source < 0) return errno == ENOENT && (flags & 2) != 0 ? 0 : check(ctx, "open", -1);
  struct stat st;
  int result = check(ctx, "fstat", fstat(source, &st));
  MountAttr attr = {static_cast<uint64_t>(step.integer(3)), 0, static_cast<uint64_t>(step.integer(5)), 0};
  if (step.integer(4) >= 0) {
    attr.attr_set |= kAttrIdmap;
    attr.userns_fd = static_cast<uint64_t>(slot_fd(ctx, step.integer(4)));
  }
  if (result == 0)
    result = bind_fd(ctx, source, step.integer(1), step.text(1).data, S_ISDIR(st.st_mode), (flags & 1) != 0, &attr);
  close(source);
  return result;
}

// target slot, major, minor, 1 to make an own node; source, target. Where the kernel refuses to make one (a user
// namespace, no CAP_MKNOD), the host's is bound read-only: usable, but neither its mode nor its owner can be changed.
WHERRY_STEP(bind_device) {
  auto major_number = static_cast<unsigned>(step.integer(1)), minor_number = static_cast<unsigned>(step.integer(2));
  const char* target = step.text(1).data;
  if (step.integer(3) != 0) {
    int dir = slot_fd(ctx, step.integer(0));
    int result = check(ctx, "mknodat", mknodat(dir, target, S_IFCHR | 0666, makedev(major_number, minor_number)));
    if (result == 0) return check(ctx, "fchmodat", fchmodat(dir, target, 0666, 0));
    if (result != -EPERM) return result;
  }
  int source = open_device(ctx, step.text(0).data, major_number, minor_number);
  if (source < 0) return source;
  MountAttr attr = {kAttrReadOnly | kAttrNosuid | kAttrNoexec, 0, 0, 0};
  int result = bind_fd(ctx, source, step.integer(0), target, false, false, &attr);
  close(source);
  return result;
}

// root slot; path. A directory is covered by an empty read-only tmpfs, a file by /dev/null; what is missing is skipped.
WHERRY_STEP(mask_path) {
  int root = slot_fd(ctx, step.integer(0));
  int target = open_in_root(root, step.text(0).data, O_PATH, 0);
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return target;
  struct stat st;
  int result = check(ctx, "fstat", fstat(target, &st));
  if (result == 0 && S_ISDIR(st.st_mode)) {
    result = old_mount(ctx, "tmpfs", target, "tmpfs", kAttrReadOnly | kAttrNosuid | kAttrNodev | kAttrNoexec,
                       "size=0,nr_inodes=2,mode=0555");
  } else if (result == 0) {
    int null = open_device(ctx, "/dev/null", 1, 3);
    MountAttr attr = {kAttrReadOnly | kAttrNosuid | kAttrNoexec, 0, 0, 0};
    result = null < 0 ? null : bind_new(ctx, null, target, 0, &attr);
    if (result == -ENOSYS)
      result = bind_old(ctx, null, target, false, attr.attr_set, step.text(0).data, step.integer(0));
    if (null >= 0) close(null);
  }
  close(target);
  return result;
}

// root slot; path
WHERRY_STEP(readonly_path) {
  int target = open_in_root(slot_fd(ctx, step.integer(0)), step.text(0).data, O_PATH, 0);
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return target;
  MountAttr attr = {kAttrReadOnly, 0, 0, 0};
  int result = bind_new(ctx, target, target, kAtRecursive, &attr);
  if (result == -ENOSYS)
    result = bind_old(ctx, target, target, true, kAttrReadOnly, step.text(0).data, step.integer(0));
  close(target);
  return result;
}

WHERRY_STEP(umount) { return check(ctx, "umount2", umount2(step.text(0).data, static_cast<int>(step.integer(0)))); }

// new root slot. The old root is stacked below the new one and dropped: no directory in the image is needed for it.
WHERRY_STEP(pivot_root) {
  int result = check(ctx, "fchdir", fchdir(slot_fd(ctx, step.integer(0))));
  if (result == 0) result = check(ctx, "pivot_root", sys_pivot_root(".", "."));
  if (result == 0) result = check(ctx, "umount2", umount2(".", MNT_DETACH));
  return result != 0 ? result : check(ctx, "chdir", chdir("/"));
}

}  // namespace wherry
