// SPDX-License-Identifier: MIT
// The step that mounts an overlay. Layers are named by descriptor: short, and it hides host paths.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "mount.h"
#include "steps.h"
#include "sys.h"

namespace wherry {
namespace {

// Opens "<slot>/<path>" and returns a fresh descriptor or -errno.
int open_layer(Context* ctx, const char* spec) {
  char* rest;
  long slot = strtol(spec, &rest, 10);
  if (slot < 0 || slot >= kMaxSlots || *rest != '/') return -EINVAL;
  int fd = openat(ctx->slots[slot], rest[1] == 0 ? "." : rest + 1, O_PATH | O_CLOEXEC | O_NOFOLLOW);
  ctx->call = "open layer";
  return fd < 0 ? -errno : fd;
}

constexpr int kOverlayUserxattr = 1, kOverlayVolatile = 2;
constexpr int kMaxOverlayDirectories = 502;  // the 500 layers that the kernel takes, and what is written to

// What one overlay is made of. The layers are "<slot>/<path>" and end with NUL each, the topmost first.
struct Overlay {
  const char *upper, *work;  // empty for a read-only mount
  Text lowers;
  int64_t flags;
  uint64_t attr;
};

// Names one directory to a new-API overlay context. The kernel looks it up at once, so that the number of layers is not
// bound by that of open files.
int add_layer(Context* ctx, int fs, const char* key, const char* layer) {
  int fd = open_layer(ctx, layer);
  if (fd < 0) return fd;
  char path[32];
  int result = check(ctx, "fsconfig", sys_fsconfig(fs, kFsconfigSetString, key, fd_path(fd, path), 0));
  close(fd);
  return result;
}

int overlay_layers(Context* ctx, int fs, const Overlay& overlay) {
  int result = 0;
  const char* end = overlay.lowers.data + overlay.lowers.size;
  for (const char* at = overlay.lowers.data; at < end && result == 0; at += strlen(at) + 1)
    result = add_layer(ctx, fs, "lowerdir+", at);
  if (result == 0 && overlay.upper[0] != 0) result = add_layer(ctx, fs, "upperdir", overlay.upper);
  if (result == 0 && overlay.upper[0] != 0) result = add_layer(ctx, fs, "workdir", overlay.work);
  return result;
}

int overlay_new(Context* ctx, const Overlay& overlay, int target, int64_t slot) {
  int fs = sys_fsopen("overlay", kFsopenCloexec);
  if (fs < 0) return check(ctx, "fsopen", -1);
  int result = overlay_layers(ctx, fs, overlay);
  if (result == 0 && (overlay.flags & kOverlayUserxattr) != 0)
    result = check(ctx, "fsconfig", sys_fsconfig(fs, kFsconfigSetFlag, "userxattr", nullptr, 0));
  if (result == 0 && (overlay.flags & kOverlayVolatile) != 0)
    result = check(ctx, "fsconfig", sys_fsconfig(fs, kFsconfigSetFlag, "volatile", nullptr, 0));
  if (result == 0) result = check(ctx, "fsconfig", sys_fsconfig(fs, kFsconfigCreate, nullptr, nullptr, 0));
  int made = result == 0 ? sys_fsmount(fs, kFsmountCloexec, static_cast<unsigned>(overlay.attr)) : -1;
  if (result == 0 && made < 0) result = check(ctx, "fsmount", -1);
  close(fs);
  if (result != 0) return result;
  result = attach(ctx, made, target);
  set_slot(ctx, result == 0 ? slot : -1, made);
  return result;
}

// Whether overlay has lowerdir+ (Linux 6.8). Trying it on an older one works, but leaves a line in the kernel's log
// each time.
bool has_lowerdir_plus() {
  struct utsname name;
  unsigned major_number = 0, minor_number = 0;
  if (uname(&name) != 0 || sscanf(name.release, "%u.%u", &major_number, &minor_number) != 2) return true;
  return major_number > 6 || (major_number == 6 && minor_number >= 8);
}

// Options of mount(2), and the descriptors that they name.
struct MountPage {
  char data[4096];
  size_t used;
  int fds[kMaxOverlayDirectories];
  int count;
};

int append(MountPage* page, const char* text) {
  size_t length = strlen(text);
  if (length >= sizeof page->data - page->used) return -E2BIG;
  memcpy(page->data + page->used, text, length + 1);
  page->used += length;
  return 0;
}

int append_layer(Context* ctx, MountPage* page, const char* before, const char* layer) {
  if (page->count == kMaxOverlayDirectories) return -E2BIG;
  int fd = open_layer(ctx, layer);
  if (fd < 0) return fd;
  page->fds[page->count++] = fd;
  char name[12];
  snprintf(name, sizeof name, "%d", fd);
  int result = append(page, before);
  return result == 0 ? append(page, name) : result;
}

int overlay_page(Context* ctx, const Overlay& overlay, MountPage* page) {
  int result = 0;
  const char* before = "lowerdir=";
  const char* end = overlay.lowers.data + overlay.lowers.size;
  for (const char* at = overlay.lowers.data; at < end && result == 0; at += strlen(at) + 1) {
    result = append_layer(ctx, page, before, at);
    before = ":";
  }
  if (result == 0 && overlay.upper[0] != 0) result = append_layer(ctx, page, ",upperdir=", overlay.upper);
  if (result == 0 && overlay.upper[0] != 0) result = append_layer(ctx, page, ",workdir=", overlay.work);
  if (result == 0 && (overlay.flags & kOverlayUserxattr) != 0) result = append(page, ",userxattr");
  if (result == 0 && (overlay.flags & kOverlayVolatile) != 0) result = append(page, ",volatile");
  return result;
}

// For kernels without lowerdir+, where mount(2) takes a page of options. In the directory of descriptors a layer is a
// number, and as many as an overlay takes fit.
int overlay_old(Context* ctx, const Overlay& overlay, int target) {
  MountPage page = {};
  int result = overlay_page(ctx, overlay, &page);
  int here = open(".", O_PATH | O_CLOEXEC);
  if (result == 0 && here < 0) result = check(ctx, "open", -1);
  if (result == 0) result = check(ctx, "chdir", chdir("/proc/self/fd"));
  if (result == 0) result = old_mount(ctx, "overlay", target, "overlay", overlay.attr, page.data);
  if (result == 0) result = check(ctx, "fchdir", fchdir(here));
  close(here);
  for (int i = 0; i < page.count; i++) close(page.fds[i]);
  return result;
}

}  // namespace

// slot, target slot, flags, attributes; target, upper ("" for a read-only mount), work, lowers (NUL after each, topmost
// first)
WHERRY_STEP(overlay) {
  Overlay overlay = {step.text(1).data, step.text(2).data, step.text(3), step.integer(2),
                     static_cast<uint64_t>(step.integer(3))};
  const char* path = step.text(0).data;
  int target = target_fd(ctx, step.integer(1), path, true);
  if (target < 0) return target;
  int result = has_lowerdir_plus() ? overlay_new(ctx, overlay, target, step.integer(0)) : -ENOSYS;
  bool old_kernel = result == -ENOSYS || (result == -EINVAL && strcmp(ctx->call, "fsconfig") == 0);
  if (old_kernel) {
    result = overlay_old(ctx, overlay, target);
    if (result == 0) result = reopen(ctx, step.integer(1), path, step.integer(0));
  }
  close(target);
  return result;
}

}  // namespace wherry
