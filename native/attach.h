// SPDX-License-Identifier: MIT
// Clients that are attached to the streams of a running container, by a socket in its directory. Context: launcher.
//
// Both sides send frames: one byte that says what it is, the size of what follows in four bytes, little-endian, and
// that. A client that does not read holds the container's output back, for kPatienceMs at most; then it is let go. What
// is logged is never held back by more than that. A client that leaves holds nothing back, and what it typed before
// goes to the container all the same.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace wherry {

// To a client.
constexpr uint8_t kFrameHello = 0;  // from here on it gets all output; one byte: 1 with a terminal, 2 with an input
constexpr uint8_t kFrameStdout = 1, kFrameStderr = 2;
// From a client.
constexpr uint8_t kFrameInput = 1, kFrameInputEnd = 2;
constexpr uint8_t kFrameResize = 3;  // rows and columns, two bytes each

constexpr uint32_t kMaxInputFrame = 64 * 1024;
constexpr size_t kMaxPending = 1024 * 1024;
constexpr int64_t kPatienceMs = 30'000;
constexpr int kMaxClients = 64;

// What an epoll's user data points to.
struct Watched {
  void (*on_ready)(Watched* self, uint32_t events);
};

struct AttachClient;

// Where clients of one container arrive. Filled by attach_open; it stays where it is until attach_close.
struct AttachPoint {
  Watched listening;  // first: it is what `self` points to
  Watched draining;
  int epoll, dir, listener;
  int sink;  // what clients type goes here: a pipe, or the master of a terminal; -1: nowhere
  bool is_terminal;
  bool takes_input;
  bool ends_once;    // the input ends with that of the first client who has typed
  bool is_draining;  // the sink is full, and clients wait
  AttachClient* clients;
  // Called when the container's output may go on.
  void (*on_room)(AttachPoint* point);
};

// Listens at `attach` in the directory, which must stay open. A socket that cannot be made leaves a container that
// nobody can attach to. Owns the sink from now on, whatever it returns: 0 or -errno.
int attach_open(AttachPoint* point, int epoll, int dir, int sink);

// Hands output to all clients.
void attach_output(AttachPoint* point, bool is_stderr, const char* data, size_t size);

// Whether a client has so much to read that the container must wait.
bool attach_is_full(const AttachPoint* point);

// The container has ended. Clients get what they have not read yet, and then the end of their sockets.
void attach_close(AttachPoint* point);

// Milliseconds until attach_expire has something to do; -1: never.
int attach_timeout();

// Lets go of clients that have not read for too long.
void attach_expire();

// Serves whatever this epoll watches, which is a Watched each, and buries who is gone.
void attach_pump(int epoll, int timeout_ms);

// Once no container is left: waits until all clients have read everything, or for so long.
void attach_finish(int64_t timeout_ms);

// Frees clients that are gone. To be called when no event that was fetched before is left.
void attach_bury();

// For tests: takes a connected socket for a client.
void attach_add(AttachPoint* point, int fd);

}  // namespace wherry
