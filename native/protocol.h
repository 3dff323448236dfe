// SPDX-License-Identifier: MIT
// Messages between Node, the launcher and a child that is being prepared. All go over SOCK_SEQPACKET sockets.
#pragma once

#include <stdint.h>

namespace wherry {

// Node -> launcher.
enum RequestKind : uint32_t {
  kRequestClone = 1,      // payload: plan; fds: status socket, then slots 0..n-1
  kRequestCleanup = 2,    // payload: NUL-separated list of paths, each 'd' (directory tree), 'c' (cgroup tree),
                          // 'p' (all cgroups that begin so) or 'r' (directory, if it is empty) + path
  kRequestRemove = 3,     // payload as above, removed now, behind everybody's back
  kRequestSupervise = 4,  // payload: SuperviseHeader, then a NUL-separated list: 'c' + cgroup to remove at the end, 'o'
                          // + file that counts kills for want of memory; fds: the container's directory, then what its
                          // streams are read from, then what its input is written to, if it has any, then, if wanted,
                          // one that is closed once that is done
};

struct RequestHeader {
  uint32_t kind;
  uint32_t flags;  // bit 0: the plan is in a memfd, the last descriptor
};

constexpr uint32_t kPlanInMemfd = 1;

constexpr uint32_t kSuperviseDetached = 1, kSuperviseStdout = 2, kSuperviseStderr = 4;
// Its input stays open for clients that attach, until the first of them leaves with the second flag.
constexpr uint32_t kSuperviseStdin = 8, kSuperviseStdinOnce = 16;
// Standard output is the master of a terminal, and its input too.
constexpr uint32_t kSuperviseTerminal = 32;

struct SuperviseHeader {
  int32_t pid;
  uint32_t flags;
  uint64_t max_log_bytes;  // 0: no limit
  uint32_t max_log_files;  // the current one included
  uint32_t reserved;
};

// Launcher -> Node.
struct ExitEvent {
  int32_t pid;     // 0: the launcher goes on for detached containers after the socket has ended
  int32_t status;  // as wait(2)
  uint64_t user_micros, system_micros;
  uint64_t max_rss_bytes;
};

// Maker or child -> Node, on the status socket. End of file after kStatusPid without kStatusFailed: the program runs.
enum StatusKind : uint32_t {
  kStatusPid = 1,     // value: pid in the launcher's pid namespace; a pidfd is attached where the kernel has them
  kStatusAwait = 2,   // the child waits for its next plan
  kStatusFailed = 3,  // section, step, error, call; the child is gone
  kStatusPty = 4,     // the pty's master is attached
};

struct StatusMessage {
  uint32_t kind;
  int32_t value;
  uint32_t section;  // 0 for the first plan, 1 after the first await, …
  uint32_t step;
  int32_t error;
  char call[44];
};

static_assert(sizeof(StatusMessage) == 64, "the wire format is fixed");
static_assert(sizeof(ExitEvent) == 32, "the wire format is fixed");
static_assert(sizeof(SuperviseHeader) == 24, "the wire format is fixed");

constexpr uint32_t kMaxInlinePlan = 100 * 1024;
constexpr int kMaxRequestFds = 32;

}  // namespace wherry
