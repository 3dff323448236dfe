// SPDX-License-Identifier: MIT
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

namespace wherry {

constexpr size_t kFrameHeader = 5;
constexpr char kSocketName[] = "attach";

struct AttachClient {
  Watched watched;     // first
  AttachPoint* point;  // null once the container has ended
  int epoll, fd;
  char* out;
  size_t out_start, out_end, out_room;
  uint8_t in[kFrameHeader + kMaxInputFrame];  // the frame that is arriving
  size_t in_size, in_done;                    // how much of it is here, and how much of that has gone to the sink
  bool is_waiting;                            // for room in the sink
  bool has_typed;
  int64_t stuck_since;  // since when it has read nothing of what there is; 0: it has
  AttachClient* next;   // of the same point
  AttachClient* after;  // of all
};

namespace {

AttachClient* all = nullptr;
AttachClient* dropped = nullptr;  // events that were fetched already may still name them

int64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

size_t pending(const AttachClient* client) { return client->out_end - client->out_start; }

void watch(AttachClient* client) {
  epoll_event event = {};
  event.events = (client->is_waiting ? 0u : EPOLLIN) | (pending(client) > 0 ? EPOLLOUT : 0u);
  event.data.ptr = &client->watched;
  epoll_ctl(client->epoll, EPOLL_CTL_MOD, client->fd, &event);
}

void watch_sink(AttachPoint* point, bool wanted) {
  if (point->is_draining == wanted) return;
  point->is_draining = wanted;
  epoll_event event = {};
  event.events = EPOLLOUT;
  event.data.ptr = &point->draining;
  epoll_ctl(point->epoll, wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, point->sink, &event);
}

void close_sink(AttachPoint* point) {
  if (point->sink < 0) return;
  watch_sink(point, false);
  close(point->sink);
  point->sink = -1;
}

void unlink_from(AttachClient** list, AttachClient* client, AttachClient* AttachClient::*link) {
  while (*list != nullptr && *list != client) list = &((*list)->*link);
  if (*list != nullptr) *list = client->*link;
}

void drop(AttachClient* client) {
  AttachPoint* point = client->point;
  unlink_from(&all, client, &AttachClient::after);
  epoll_ctl(client->epoll, EPOLL_CTL_DEL, client->fd, nullptr);
  // A socket that is closed with something unread in it breaks the other side's connection, instead of ending it.
  for (int i = 0; i < 16 && recv(client->fd, client->in, sizeof client->in, MSG_DONTWAIT) > 0; i++) {
  }
  close(client->fd);
  client->fd = -1;
  client->after = dropped;
  dropped = client;
  bool has_typed = client->has_typed;
  if (point != nullptr) unlink_from(&point->clients, client, &AttachClient::next);
  free(client->out);
  client->out = nullptr;
  client->point = nullptr;
  if (point == nullptr) return;
  if (has_typed && point->ends_once && !point->is_terminal) close_sink(point);
  if (point->on_room != nullptr && !attach_is_full(point)) point->on_room(point);
}

// Returns false where the client is gone.
bool send_pending(AttachClient* client) {
  while (pending(client) > 0) {
    ssize_t n = send(client->fd, client->out + client->out_start, pending(client), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return false;
    if (n < 0) {
      if (client->stuck_since == 0) client->stuck_since = now_ms();
      return true;
    }
    client->out_start += static_cast<size_t>(n);
    client->stuck_since = 0;
  }
  client->out_start = client->out_end = 0;
  // Who has read everything costs as little memory as can be.
  free(client->out);
  client->out = nullptr;
  client->out_room = 0;
  return true;
}

bool append(AttachClient* client, const void* data, size_t size) {
  if (client->out_start > 0) {
    memmove(client->out, client->out + client->out_start, pending(client));
    client->out_end -= client->out_start;
    client->out_start = 0;
  }
  if (client->out_end + size > client->out_room) {
    size_t room = client->out_end + size + 4096;
    auto* grown = static_cast<char*>(realloc(client->out, room));
    if (grown == nullptr) return false;
    client->out = grown;
    client->out_room = room;
  }
  memcpy(client->out + client->out_end, data, size);
  client->out_end += size;
  return true;
}

// Returns false where the client is gone.
bool send_frame(AttachClient* client, uint8_t kind, const void* data, size_t size) {
  uint8_t header[kFrameHeader] = {kind};
  auto length = static_cast<uint32_t>(size);
  memcpy(header + 1, &length, sizeof length);
  if (!append(client, header, sizeof header) || !append(client, data, size) || !send_pending(client)) return false;
  watch(client);
  return true;
}

// Returns whether all of the frame has gone to the sink.
bool type_in(AttachClient* client, const uint8_t* data, size_t size) {
  AttachPoint* point = client->point;
  client->has_typed = true;
  while (point->sink >= 0 && point->takes_input && client->in_done < size) {
    ssize_t n = write(point->sink, data + client->in_done, size - client->in_done);
    if (n >= 0) {
      client->in_done += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      watch_sink(point, true);
      return false;
    } else if (errno != EINTR) {
      // Nobody reads it any more.
      if (point->is_terminal) break;
      close_sink(point);
    }
  }
  return true;
}

// Returns whether the frame is done with.
bool take_frame(AttachClient* client, uint8_t kind, const uint8_t* data, size_t size) {
  AttachPoint* point = client->point;
  if (kind == kFrameInput) return type_in(client, data, size);
  if (kind == kFrameInputEnd && point->ends_once && !point->is_terminal) close_sink(point);
  if (kind == kFrameResize && size == 4 && point->is_terminal && point->sink >= 0) {
    uint16_t parts[2];
    memcpy(parts, data, sizeof parts);
    winsize window = {parts[0], parts[1], 0, 0};
    ioctl(point->sink, TIOCSWINSZ, &window);
  }
  return true;
}

// Reads what a client sends. Returns false where it is gone, or sends nonsense.
bool receive(AttachClient* client) {
  for (;;) {
    size_t wanted = kFrameHeader;
    if (client->in_size >= kFrameHeader) {
      uint32_t length;
      memcpy(&length, client->in + 1, sizeof length);
      if (length > kMaxInputFrame) return false;
      wanted += length;
      if (client->in_size == wanted) {
        client->is_waiting =
            client->point != nullptr && !take_frame(client, client->in[0], client->in + kFrameHeader, length);
        if (client->is_waiting) return true;
        client->in_size = client->in_done = 0;
        continue;
      }
    }
    ssize_t n = recv(client->fd, client->in + client->in_size, wanted - client->in_size, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 && errno == EAGAIN;
    client->in_size += static_cast<size_t>(n);
  }
}

void client_ready(Watched* self, uint32_t events) {
  auto* client = reinterpret_cast<AttachClient*>(self);
  if (client->fd < 0) return;
  bool was_full = client->point != nullptr && attach_is_full(client->point);
  bool is_here = (events & (EPOLLERR | EPOLLHUP)) == 0 || (events & EPOLLIN) != 0;
  if (is_here && (events & EPOLLOUT) != 0) is_here = send_pending(client);
  if (is_here && (events & EPOLLIN) != 0) is_here = receive(client);
  AttachPoint* point = client->point;
  if (!is_here || (point == nullptr && pending(client) == 0)) {
    drop(client);
    return;
  }
  watch(client);
  if (was_full && point->on_room != nullptr && !attach_is_full(point)) point->on_room(point);
}

void sink_ready(Watched* self, uint32_t) {
  auto* point = reinterpret_cast<AttachPoint*>(reinterpret_cast<char*>(self) - offsetof(AttachPoint, draining));
  watch_sink(point, false);
  for (AttachClient* client = point->clients; client != nullptr;) {
    AttachClient* next = client->next;
    if (client->is_waiting) {
      if (receive(client)) {
        watch(client);
      } else {
        drop(client);
      }
    }
    client = next;
  }
}

void client_arrives(Watched* self, uint32_t) {
  auto* point = reinterpret_cast<AttachPoint*>(self);
  int fd = accept4(point->listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) attach_add(point, fd);
}

// The path would be too long: it is relative to the directory.
int listen_in(int dir) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, kSocketName, sizeof kSocketName);
  unlinkat(dir, kSocketName, 0);
  int result = fchdir(dir);
  mode_t mask = umask(0177);
  if (result == 0) result = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  umask(mask);
  if (result == 0) result = listen(fd, 16);
  int error = errno;
  if (chdir("/") != 0 || result != 0) {
    close(fd);
    return -error;
  }
  return fd;
}

}  // namespace

int attach_open(AttachPoint* point, int epoll, int dir, int sink) {
  point->listening = {client_arrives};
  point->draining = {sink_ready};
  point->epoll = epoll;
  point->dir = dir;
  point->sink = sink;
  if (sink >= 0) fcntl(sink, F_SETFL, fcntl(sink, F_GETFL) | O_NONBLOCK);
  int fd = listen_in(dir);
  point->listener = fd < 0 ? -1 : fd;
  if (fd < 0) return fd;
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = &point->listening;
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  return 0;
}

void attach_add(AttachPoint* point, int fd) {
  int count = 0;
  for (const AttachClient* each = point->clients; each != nullptr; each = each->next) count++;
  auto* client = count < kMaxClients ? static_cast<AttachClient*>(calloc(1, sizeof(AttachClient))) : nullptr;
  if (client == nullptr) {
    close(fd);
    return;
  }
  client->watched = {client_ready};
  client->point = point;
  client->epoll = point->epoll;
  client->fd = fd;
  client->next = point->clients;
  point->clients = client;
  client->after = all;
  all = client;
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = &client->watched;
  epoll_ctl(client->epoll, EPOLL_CTL_ADD, fd, &event);
  auto kind = static_cast<uint8_t>((point->is_terminal ? 1 : 0) | (point->takes_input ? 2 : 0));
  if (!send_frame(client, kFrameHello, &kind, 1)) drop(client);
}

void attach_output(AttachPoint* point, bool is_stderr, const char* data, size_t size) {
  for (AttachClient* client = point->clients; client != nullptr;) {
    AttachClient* next = client->next;
    if (!send_frame(client, is_stderr ? kFrameStderr : kFrameStdout, data, size)) drop(client);
    client = next;
  }
}

bool attach_is_full(const AttachPoint* point) {
  for (const AttachClient* client = point->clients; client != nullptr; client = client->next) {
    if (pending(client) > kMaxPending) return true;
  }
  return false;
}

void attach_close(AttachPoint* point) {
  close_sink(point);
  if (point->listener >= 0) {
    unlinkat(point->dir, kSocketName, 0);
    epoll_ctl(point->epoll, EPOLL_CTL_DEL, point->listener, nullptr);
    close(point->listener);
    point->listener = -1;
  }
  point->on_room = nullptr;
  while (point->clients != nullptr) {
    AttachClient* client = point->clients;
    point->clients = client->next;
    client->point = nullptr;
    client->next = nullptr;
    client->is_waiting = false;
    if (pending(client) == 0) {
      drop(client);
    } else {
      watch(client);
    }
  }
}

int attach_timeout() {
  int64_t least = -1;
  for (const AttachClient* client = all; client != nullptr; client = client->after) {
    if (client->stuck_since == 0) continue;
    int64_t left = client->stuck_since + kPatienceMs - now_ms();
    if (left < 0) left = 0;
    if (least < 0 || left < least) least = left;
  }
  return static_cast<int>(least);
}

void attach_expire() {
  for (AttachClient* client = all; client != nullptr;) {
    AttachClient* next = client->after;
    // Who merely has something left to read may take the time it wants, until others have to wait for it.
    bool blocks = client->point == nullptr || pending(client) > kMaxPending;
    if (client->stuck_since != 0 && now_ms() - client->stuck_since >= kPatienceMs) {
      if (blocks) {
        drop(client);
      } else {
        client->stuck_since = now_ms();
      }
    }
    client = next;
  }
}

void attach_finish(int64_t timeout_ms) {
  int64_t until = now_ms() + timeout_ms;
  while (all != nullptr && now_ms() < until) {
    AttachClient* client = all;
    pollfd polled = {client->fd, POLLOUT, 0};
    poll(&polled, 1, static_cast<int>(until - now_ms()));
    if (!send_pending(client) || pending(client) == 0) drop(client);
  }
  while (all != nullptr) drop(all);
}

void attach_bury() {
  while (dropped != nullptr) {
    AttachClient* client = dropped;
    dropped = client->after;
    free(client);
  }
}

}  // namespace wherry
