// SPDX-License-Identifier: MIT
// The janitor: a fork of the launcher that does what would make others wait. It holds a descriptor of each container's
// mount namespace, so that the last process of a container ends without tearing its mounts down, and removes scratch
// directories and cgroups.
#pragma once

#include <stddef.h>
#include <sys/types.h>

namespace wherry {

// Forks the janitor. Returns its pid and the socket to it, or -1.
pid_t start_janitor(int* socket);

// Context: maker. Hands over the mount namespace of a child that is about to run.
void janitor_hold(int socket, pid_t pid);

// Context: launcher. The process is reaped: its namespace may go.
void janitor_exited(int socket, pid_t pid);

// Context: launcher. Removes NUL-separated entries, see protocol.h.
void janitor_remove(int socket, const void* entries, size_t size);

// Carries out one entry: 'd' + directory, 'c' + cgroup, 'p' + prefix of cgroups.
void remove_entry(const char* entry);

}  // namespace wherry
