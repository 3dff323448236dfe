// SPDX-License-Identifier: MIT
// Steps that decide who the process is and what it may do.
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "steps.h"

namespace wherry {
namespace {

constexpr int kKeyctlJoinSessionKeyring = 1;
constexpr int kMaxCapability = 63;

}  // namespace

// Raw calls: libc's wrappers may signal other threads, of which there are none here.
WHERRY_STEP(setgroups) {
  gid_t groups[250];
  for (int i = 0; i < step.int_count; i++) groups[i] = static_cast<gid_t>(step.integer(i));
  return check(ctx, "setgroups", syscall(SYS_setgroups, static_cast<size_t>(step.int_count), groups));
}

WHERRY_STEP(setresgid) {
  auto id = static_cast<gid_t>(step.integer(0));
  return check(ctx, "setresgid", syscall(SYS_setresgid, id, id, id));
}

WHERRY_STEP(setresuid) {
  auto id = static_cast<uid_t>(step.integer(0));
  return check(ctx, "setresuid", syscall(SYS_setresuid, id, id, id));
}

// mask of capabilities that stay
WHERRY_STEP(bounding) {
  auto keep = static_cast<uint64_t>(step.integer(0));
  for (int cap = 0; cap <= kMaxCapability; cap++) {
    if ((keep >> cap & 1) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0) continue;
    // EINVAL: the kernel knows no capability of this number, nor any above it.
    return errno == EINVAL ? 0 : check(ctx, "prctl(PR_CAPBSET_DROP)", -1);
  }
  return 0;
}

// effective, permitted, inheritable
WHERRY_STEP(capset) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (int i = 0; i < 2; i++) {
    data[i].effective = static_cast<uint32_t>(static_cast<uint64_t>(step.integer(0)) >> (32 * i));
    data[i].permitted = static_cast<uint32_t>(static_cast<uint64_t>(step.integer(1)) >> (32 * i));
    data[i].inheritable = static_cast<uint32_t>(static_cast<uint64_t>(step.integer(2)) >> (32 * i));
  }
  return check(ctx, "capset", syscall(SYS_capset, &header, data));
}

WHERRY_STEP(ambient) {
  auto mask = static_cast<uint64_t>(step.integer(0));
  int result = check(ctx, "prctl(PR_CAP_AMBIENT)", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
  for (int cap = 0; cap <= kMaxCapability && result == 0; cap++) {
    if ((mask >> cap & 1) == 0) continue;
    result = check(ctx, "prctl(PR_CAP_AMBIENT)", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0));
  }
  return result;
}

WHERRY_STEP(keepcaps) { return check(ctx, "prctl(PR_SET_KEEPCAPS)", prctl(PR_SET_KEEPCAPS, step.integer(0), 0, 0, 0)); }

WHERRY_STEP(no_new_privs) {
  (void)step;
  return check(ctx, "prctl(PR_SET_NO_NEW_PRIVS)", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

// flags; struct sock_filter[]
WHERRY_STEP(seccomp) {
  Text filter = step.text(0);
  if (filter.size == 0 || filter.size % sizeof(sock_filter) != 0) return -EINVAL;
  // The bytes lie unaligned in the plan; the kernel wants them as an array.
  alignas(sock_filter) static char copy[BPF_MAXINSNS * sizeof(sock_filter)];
  if (filter.size > sizeof copy) return -E2BIG;
  memcpy(copy, filter.data, filter.size);
  sock_fprog program = {static_cast<unsigned short>(filter.size / sizeof(sock_filter)),
                        reinterpret_cast<sock_filter*>(copy)};
  return check(ctx, "seccomp", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, step.integer(0), &program));
}

// A container must not see the keys of whoever started it. A kernel without keyrings has nothing to hide.
WHERRY_STEP(session_keyring) {
  (void)step;
  long result = syscall(SYS_keyctl, kKeyctlJoinSessionKeyring, nullptr, 0, 0, 0);
  return result < 0 && errno == ENOSYS ? 0 : check(ctx, "keyctl", result);
}

// resource, soft, hard; -1 is no limit
WHERRY_STEP(rlimit) {
  rlimit limit = {static_cast<rlim_t>(step.integer(1)), static_cast<rlim_t>(step.integer(2))};
  return check(ctx, "setrlimit", setrlimit(static_cast<decltype(RLIMIT_AS)>(step.integer(0)), &limit));
}

}  // namespace wherry
