// SPDX-License-Identifier: MIT
#include "attach_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

namespace wherry {
namespace {

constexpr size_t kSpareRoom = 4096;
// Of what a client has sent and nobody wants.
constexpr int kMostUnread = 16;

bool append(FrameSocket* socket, const void* data, size_t size) {
  if (socket->out_start > 0) {
    memmove(socket->out, socket->out + socket->out_start, unread(socket));
    socket->out_end -= socket->out_start;
    socket->out_start = 0;
  }
  if (socket->out_end + size > socket->out_room) {
    size_t room = socket->out_end + size + kSpareRoom;
    auto* grown = static_cast<char*>(realloc(socket->out, room));
    if (grown == nullptr) return false;
    socket->out = grown;
    socket->out_room = room;
  }
  memcpy(socket->out + socket->out_end, data, size);
  socket->out_end += size;
  return true;
}

}  // namespace

int64_t monotonic_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

size_t unread(const FrameSocket* socket) { return socket->out_end - socket->out_start; }

bool send_pending(FrameSocket* socket) {
  while (unread(socket) > 0) {
    ssize_t n = send(socket->fd, socket->out + socket->out_start, unread(socket), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return false;
    if (n < 0) {
      if (socket->stuck_since == 0) socket->stuck_since = monotonic_ms();
      return true;
    }
    socket->out_start += static_cast<size_t>(n);
    socket->stuck_since = 0;
  }
  // Who has read everything costs as little memory as can be.
  drop_pending(socket);
  return true;
}

bool send_frame(FrameSocket* socket, uint8_t kind, const void* data, size_t size) {
  uint8_t header[kFrameHeader] = {kind};
  auto length = static_cast<uint32_t>(size);
  memcpy(header + 1, &length, sizeof length);
  return append(socket, header, sizeof header) && append(socket, data, size) && send_pending(socket);
}

void drop_pending(FrameSocket* socket) {
  free(socket->out);
  socket->out = nullptr;
  socket->out_start = socket->out_end = socket->out_room = 0;
  socket->stuck_since = 0;
}

Arrival receive_frame(FrameSocket* socket) {
  for (;;) {
    size_t wanted = kFrameHeader;
    if (socket->in_size >= kFrameHeader) {
      if (frame_size(socket) > kMaxInputFrame) return Arrival::kGone;
      wanted += frame_size(socket);
      if (socket->in_size == wanted) return Arrival::kWhole;
    }
    ssize_t n = recv(socket->fd, socket->in + socket->in_size, wanted - socket->in_size, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 && errno == EAGAIN ? Arrival::kNotYet : Arrival::kGone;
    socket->in_size += static_cast<size_t>(n);
  }
}

uint32_t frame_size(const FrameSocket* socket) {
  uint32_t length;
  memcpy(&length, socket->in + 1, sizeof length);
  return length;
}

void next_frame(FrameSocket* socket) { socket->in_size = 0; }

void close_frames(FrameSocket* socket) {
  // A socket that is closed with something unread in it breaks the other side's connection, instead of ending it.
  for (int i = 0; i < kMostUnread && recv(socket->fd, socket->in, sizeof socket->in, MSG_DONTWAIT) > 0; i++) {
  }
  close(socket->fd);
  socket->fd = -1;
  drop_pending(socket);
}

int listen_in(int dir, const char* name) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, name, sizeof address.sun_path - 1);
  unlinkat(dir, name, 0);
  // The whole path would be too long: it is relative to the directory.
  int result = fchdir(dir);
  mode_t mask = umask(0177);
  if (result == 0) result = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  umask(mask);
  if (result == 0) result = listen(fd, kMaxClients);
  int error = errno;
  if (chdir("/") != 0 || result != 0) {
    close(fd);
    return -error;
  }
  return fd;
}

}  // namespace wherry
