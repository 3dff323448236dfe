// SPDX-License-Identifier: MIT
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attach_socket.h"

namespace wherry {

constexpr char kSocketName[] = "attach";
// What one client may type before the others have their turn.
constexpr int kFramesPerTurn = 16;
constexpr int kMaxEvents = 64;

struct AttachClient {
  Watched watched;     // first
  AttachPoint* point;  // null once the container has ended
  int epoll;
  FrameSocket socket;
  size_t typed;     // how much of the frame that has arrived has gone to the sink
  bool is_waiting;  // for room in the sink
  bool is_leaving;  // nobody reads any more, but there may be something left that it has typed
  bool is_watched;
  bool has_typed;
  AttachClient* next;   // of the same point
  AttachClient* after;  // of all
};

namespace {

AttachClient* all = nullptr;
AttachClient* dropped = nullptr;  // events that were fetched already may still name them

void watch(AttachClient* client) {
  // The end of its connection would be told again and again, whatever is asked for.
  bool wanted = !(client->is_leaving && client->is_waiting);
  if (!wanted && !client->is_watched) return;
  epoll_event event = {};
  event.events = (client->is_waiting ? 0u : EPOLLIN) | (unread(&client->socket) > 0 ? EPOLLOUT : 0u);
  event.data.ptr = &client->watched;
  int operation = !wanted ? EPOLL_CTL_DEL : client->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  epoll_ctl(client->epoll, operation, client->socket.fd, &event);
  client->is_watched = wanted;
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
  // There will be no room. What else they send is read and dropped.
  for (AttachClient* client = point->clients; client != nullptr; client = client->next) {
    if (!client->is_waiting) continue;
    client->is_waiting = false;
    watch(client);
  }
}

void unlink_from(AttachClient** list, AttachClient* client, AttachClient* AttachClient::*link) {
  while (*list != nullptr && *list != client) list = &((*list)->*link);
  if (*list != nullptr) *list = client->*link;
}

void tell_of_room(AttachPoint* point) {
  if (point->on_room != nullptr && !attach_is_full(point)) point->on_room(point);
}

void drop(AttachClient* client) {
  AttachPoint* point = client->point;
  unlink_from(&all, client, &AttachClient::after);
  if (client->is_watched) epoll_ctl(client->epoll, EPOLL_CTL_DEL, client->socket.fd, nullptr);
  close_frames(&client->socket);
  client->after = dropped;
  dropped = client;
  client->point = nullptr;
  if (point == nullptr) return;
  unlink_from(&point->clients, client, &AttachClient::next);
  if (client->has_typed && point->ends_once && !point->is_terminal) close_sink(point);
  if (!client->is_leaving) tell_of_room(point);
}

// It reads no more, so it holds nothing back any more. What it typed before counts all the same: it is dropped where
// that ends, which the epoll tells.
void leave(AttachClient* client) {
  if (client->is_leaving) return;
  client->is_leaving = true;
  shutdown(client->socket.fd, SHUT_RDWR);
  drop_pending(&client->socket);
  watch(client);
  if (client->point != nullptr) tell_of_room(client->point);
}

void send(AttachClient* client, uint8_t kind, const void* data, size_t size) {
  if (send_frame(&client->socket, kind, data, size)) {
    watch(client);
  } else {
    leave(client);
  }
}

// Returns whether all of the frame has gone to the sink.
bool type_in(AttachClient* client, const uint8_t* data, size_t size) {
  AttachPoint* point = client->point;
  client->has_typed = true;
  while (point->sink >= 0 && point->takes_input && client->typed < size) {
    ssize_t n = write(point->sink, data + client->typed, size - client->typed);
    if (n >= 0) {
      client->typed += static_cast<size_t>(n);
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
bool take_frame(AttachClient* client) {
  AttachPoint* point = client->point;
  if (point == nullptr) return true;
  uint8_t kind = client->socket.in[0];
  const uint8_t* data = client->socket.in + kFrameHeader;
  size_t size = frame_size(&client->socket);
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

// Reads what a client sends. Returns false where there will be no more of it, or it is nonsense.
bool receive(AttachClient* client) {
  for (int frames = 0; frames < kFramesPerTurn; frames++) {
    Arrival arrival = receive_frame(&client->socket);
    if (arrival != Arrival::kWhole) return arrival == Arrival::kNotYet;
    client->is_waiting = !take_frame(client);
    if (client->is_waiting) return true;
    next_frame(&client->socket);
    client->typed = 0;
  }
  return true;
}

void client_ready(Watched* self, uint32_t events) {
  auto* client = reinterpret_cast<AttachClient*>(self);
  if (client->socket.fd < 0) return;
  AttachPoint* point = client->point;
  bool was_full = point != nullptr && attach_is_full(point);
  bool is_gone = (events & (EPOLLERR | EPOLLHUP)) != 0;
  if (!is_gone && (events & EPOLLOUT) != 0) is_gone = !send_pending(&client->socket);
  if (is_gone) leave(client);
  bool goes_on = client->is_waiting || (!is_gone && (events & EPOLLIN) == 0) || receive(client);
  if (!goes_on || (point == nullptr && unread(&client->socket) == 0)) {
    drop(client);
    return;
  }
  watch(client);
  if (was_full && !is_gone) tell_of_room(point);
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

// Where there is room for one more. Who has left and still has something to type makes place.
bool make_place(AttachPoint* point) {
  int count = 0;
  AttachClient* leaving = nullptr;
  for (AttachClient* each = point->clients; each != nullptr; each = each->next) {
    count++;
    if (each->is_leaving) leaving = each;
  }
  if (count < kMaxClients) return true;
  if (leaving != nullptr) drop(leaving);
  return leaving != nullptr;
}

}  // namespace

int attach_open(AttachPoint* point, int epoll, int dir, int sink) {
  point->listening = {client_arrives};
  point->draining = {sink_ready};
  point->epoll = epoll;
  point->dir = dir;
  point->sink = sink;
  if (sink >= 0) fcntl(sink, F_SETFL, fcntl(sink, F_GETFL) | O_NONBLOCK);
  int fd = listen_in(dir, kSocketName);
  point->listener = fd < 0 ? -1 : fd;
  if (fd < 0) return fd;
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = &point->listening;
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  return 0;
}

void attach_add(AttachPoint* point, int fd) {
  auto* client = make_place(point) ? static_cast<AttachClient*>(calloc(1, sizeof(AttachClient))) : nullptr;
  if (client == nullptr) {
    close(fd);
    return;
  }
  client->watched = {client_ready};
  client->point = point;
  client->epoll = point->epoll;
  client->socket.fd = fd;
  client->next = point->clients;
  point->clients = client;
  client->after = all;
  all = client;
  auto kind = static_cast<uint8_t>((point->is_terminal ? 1 : 0) | (point->takes_input ? 2 : 0));
  send(client, kFrameHello, &kind, 1);
}

void attach_output(AttachPoint* point, bool is_stderr, const char* data, size_t size) {
  for (AttachClient* client = point->clients; client != nullptr; client = client->next) {
    if (!client->is_leaving) send(client, is_stderr ? kFrameStderr : kFrameStdout, data, size);
  }
}

bool attach_is_full(const AttachPoint* point) {
  for (const AttachClient* client = point->clients; client != nullptr; client = client->next) {
    if (unread(&client->socket) > kMaxPending) return true;
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
    if (unread(&client->socket) == 0) {
      drop(client);
    } else {
      watch(client);
    }
  }
}

int attach_timeout() {
  int64_t least = -1;
  for (const AttachClient* client = all; client != nullptr; client = client->after) {
    if (client->socket.stuck_since == 0) continue;
    int64_t left = client->socket.stuck_since + kPatienceMs - monotonic_ms();
    if (left < 0) left = 0;
    if (least < 0 || left < least) least = left;
  }
  return static_cast<int>(least);
}

void attach_expire() {
  for (AttachClient* client = all; client != nullptr;) {
    AttachClient* next = client->after;
    // Who merely has something left to read may take the time it wants, until others have to wait for it.
    bool blocks = client->point == nullptr || unread(&client->socket) > kMaxPending;
    if (client->socket.stuck_since != 0 && monotonic_ms() - client->socket.stuck_since >= kPatienceMs) {
      if (blocks) {
        drop(client);
      } else {
        client->socket.stuck_since = monotonic_ms();
      }
    }
    client = next;
  }
}

void attach_pump(int epoll, int timeout_ms) {
  epoll_event events[kMaxEvents];
  int n = epoll_wait(epoll, events, kMaxEvents, timeout_ms);
  for (int i = 0; i < n; i++) {
    auto* watched = static_cast<Watched*>(events[i].data.ptr);
    watched->on_ready(watched, events[i].events);
  }
  attach_bury();
}

void attach_finish(int64_t timeout_ms) {
  int64_t until = monotonic_ms() + timeout_ms;
  for (int64_t left = timeout_ms; all != nullptr && left > 0; left = until - monotonic_ms()) {
    attach_pump(all->epoll, static_cast<int>(left));
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
