// SPDX-License-Identifier: MIT
// The list of operations. The order is the wire format: append only. lib/plan/ops.ts holds the same list; a test
// compares.
#pragma once

#include <stdint.h>

// X(name, min_ints, max_ints, min_strings, max_strings, slot_mask, blobs)
#define WHERRY_OPS(X)                       \
  X(clone, 2, 2, 2, 3, 2, false)            \
  X(unshare, 1, 1, 0, 0, 0, false)          \
  X(setns, 2, 3, 0, 0, 1, false)            \
  X(await, 0, 0, 0, 0, 0, false)            \
  X(pdeathsig, 1, 1, 0, 0, 0, false)        \
  X(dumpable, 1, 1, 0, 0, 0, false)         \
  X(setsid, 0, 0, 0, 0, 0, false)           \
  X(session_keyring, 0, 0, 0, 0, 0, false)  \
  X(propagation, 1, 1, 1, 1, 0, false)      \
  X(fsmount, 3, 4, 2, 40, 3, false)         \
  X(overlay, 4, 4, 4, 4, 3, true)           \
  X(open_tree, 4, 4, 1, 1, 3, false)        \
  X(mount_setattr, 6, 6, 0, 0, 0x21, false) \
  X(move_mount, 3, 3, 1, 1, 3, false)       \
  X(bind, 6, 6, 2, 2, 0x13, false)          \
  X(bind_device, 4, 4, 2, 2, 1, false)      \
  X(mask_path, 1, 1, 1, 1, 1, false)        \
  X(readonly_path, 1, 1, 1, 1, 1, false)    \
  X(umount, 1, 1, 1, 1, 0, false)           \
  X(pivot_root, 1, 1, 0, 0, 1, false)       \
  X(mkdir, 3, 3, 1, 1, 1, false)            \
  X(mknod, 4, 4, 1, 1, 1, false)            \
  X(symlink, 1, 1, 2, 2, 1, false)          \
  X(write_file, 3, 3, 2, 2, 1, true)        \
  X(open, 4, 4, 1, 1, 3, false)             \
  X(close, 1, 1, 0, 0, 1, false)            \
  X(sethostname, 0, 0, 1, 1, 0, false)      \
  X(setdomainname, 0, 0, 1, 1, 0, false)    \
  X(rlimit, 3, 3, 0, 0, 0, false)           \
  X(sysctl, 0, 0, 2, 2, 0, false)           \
  X(cgroup_join, 0, 0, 1, 1, 0, false)      \
  X(oom_score_adj, 1, 1, 0, 0, 0, false)    \
  X(loopback_up, 0, 0, 0, 0, 0, false)      \
  X(umask, 1, 1, 0, 0, 0, false)            \
  X(chdir, 1, 1, 1, 1, 0, false)            \
  X(stdio, 2, 2, 0, 0, 1, false)            \
  X(controlling_tty, 1, 1, 0, 0, 0, false)  \
  X(open_pty, 4, 4, 1, 1, 3, false)         \
  X(close_others, 0, 0, 0, 0, 0, false)     \
  X(setgroups, 0, 250, 0, 0, 0, false)      \
  X(setresgid, 1, 1, 0, 0, 0, false)        \
  X(setresuid, 1, 1, 0, 0, 0, false)        \
  X(bounding, 1, 1, 0, 0, 0, false)         \
  X(capset, 3, 3, 0, 0, 0, false)           \
  X(ambient, 1, 1, 0, 0, 0, false)          \
  X(keepcaps, 1, 1, 0, 0, 0, false)         \
  X(no_new_privs, 0, 0, 0, 0, 0, false)     \
  X(seccomp, 1, 1, 1, 1, 0, true)           \
  X(init, 0, 0, 0, 0, 0, false)             \
  X(exec, 0, 0, 4, 4, 0, true)              \
  X(serve_files, 2, 2, 0, 0, 3, false)      \
  X(fork, 0, 0, 0, 0, 0, false)             \
  X(serve_sockets, 1, 1, 0, 0, 1, false)

namespace wherry {

enum Op : uint16_t {
#define X(name, a, b, c, d, e, f) kOp_##name,
  WHERRY_OPS(X)
#undef X
      kOpCount,
};

}  // namespace wherry
