// SPDX-License-Identifier: MIT
// Containers that outlast a call: the launcher writes their output to log files and records how they ended, whether or
// not Node is there to see it. Those that are detached go on when Node goes. Context: launcher.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "janitor.h"

namespace wherry {

// Returns 0 or -errno: the descriptor of the supervisor's epoll, to be polled.
int supervisor_open();

// Takes over a container that waits for its program. Descriptors: directory, then the reading ends of its streams,
// then the writing end of its input, then, if Node wants to know when that is done, one whose closing tells it. They
// are the supervisor's from now on, unless the message is refused. See protocol.h.
pid_t supervise(const uint8_t* message, size_t size, const int* fds, int count);

// Moves output to the log files and to clients, and what clients type to the containers.
void supervisor_pump();

// Milliseconds until supervisor_expire has something to do; -1: never.
int supervisor_timeout();
void supervisor_expire();

// Waits a little for clients that have not read everything.
void supervisor_finish();

// A process was reaped. Returns whether it was supervised; then its end is recorded and its cgroups go to the janitor.
bool supervisor_exited(pid_t pid, int status, const rusage& usage, JanitorLink* janitor);

// Whether this one goes on without Node.
bool supervisor_detached(pid_t pid);
int supervisor_detached_count();

}  // namespace wherry
