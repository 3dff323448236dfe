// SPDX-License-Identifier: MIT
// The janitor: a fork of the launcher that does what would make others wait. It holds a descriptor of each container's
// mount namespace, so that the last process of a container ends without tearing its mounts down, and removes scratch
// directories and cgroups.
#pragma once

#include <stddef.h>
#include <sys/types.h>

namespace wherry {

// The launcher's side. It never waits for the janitor: what does not fit into the socket is kept in order.
struct JanitorLink {
  pid_t pid;
  int socket;
  char* backlog;  // messages, each behind its size_t
  size_t size, capacity;
};

// Forks the janitor. Returns false when the kernel refuses. A backlog is kept for it.
bool start_janitor(JanitorLink* link);

// Context: maker. Hands over the mount namespace of a child that is about to run.
void janitor_hold(int socket, pid_t pid);

// The process is reaped: its namespace may go.
void janitor_exited(JanitorLink* link, pid_t pid);

// Removes NUL-separated entries, see protocol.h.
void janitor_remove(JanitorLink* link, const void* entries, size_t size);

// Sends what is kept, as far as it fits; all of it when `wait` is set.
void janitor_flush(JanitorLink* link, bool wait);

// Carries out one entry: 'd' + directory, 'c' + cgroup, 'p' + prefix of cgroups, 'r' + directory that goes if it is
// empty.
void remove_entry(const char* entry);

}  // namespace wherry
