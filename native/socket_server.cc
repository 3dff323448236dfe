// SPDX-License-Identifier: MIT
// The step that makes sockets: in the network namespace that this process has entered, for Node, which gets their
// descriptors. A socket stays in the namespace that it was made in, whoever holds it.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pass_fds.h"
#include "protocol.h"
#include "socket_protocol.h"
#include "steps.h"

namespace wherry {
namespace {

static_assert(sizeof(SocketRequest) == 28 && sizeof(SocketReply) == 24, "the wire format is fixed");

constexpr int kMaxPending = 256;

// Connections that are being made.
struct SocketServer {
  int control;
  int count;
  uint32_t ids[kMaxPending];
  pollfd polled[kMaxPending + 1];  // the first is the control socket
};

struct Message {
  SocketRequest request;
  char text[kSocketTextBytes + 1];
};

bool address_of(const Message& m, sockaddr_storage* storage, socklen_t* size) {
  *storage = {};
  const SocketRequest& r = m.request;
  if (r.family == kSocketUnix) {
    auto* a = reinterpret_cast<sockaddr_un*>(storage);
    if (r.text_size == 0 || r.text_size >= sizeof a->sun_path) return false;
    a->sun_family = AF_UNIX;
    memcpy(a->sun_path, m.text, r.text_size);
    *size = sizeof *a;
    return true;
  }
  if (r.family == kSocketIpv6) {
    auto* a = reinterpret_cast<sockaddr_in6*>(storage);
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(static_cast<uint16_t>(r.port));
    *size = sizeof *a;
    return inet_pton(AF_INET6, m.text, &a->sin6_addr) == 1;
  }
  auto* a = reinterpret_cast<sockaddr_in*>(storage);
  a->sin_family = AF_INET;
  a->sin_port = htons(static_cast<uint16_t>(r.port));
  *size = sizeof *a;
  return r.family == kSocketIpv4 && inet_pton(AF_INET, m.text, &a->sin_addr) == 1;
}

// False when nobody listens any more. Closes the descriptor.
bool reply(SocketServer* s, uint32_t id, const char* call, int error, int fd) {
  SocketReply message = {};
  message.id = id;
  message.error = error;
  strncpy(message.call, call, sizeof message.call - 1);
  iovec part = {&message, sizeof message};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  PassedFds<1> passed;
  if (fd >= 0 && error == 0) passed.put(&header, &fd, 1);
  ssize_t n;
  do {
    n = sendmsg(s->control, &header, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  int failure = n < 0 ? errno : 0;
  if (fd >= 0) close(fd);
  // Too many descriptors under way (unix(7)): that is the answer then.
  if (failure == ETOOMANYREFS && error == 0) return reply(s, id, "sendmsg", failure, -1);
  return failure == 0;
}

bool fail_with(SocketServer* s, uint32_t id, const char* call, int fd) {
  int error = errno;
  if (fd >= 0) close(fd);
  return reply(s, id, call, error, -1);
}

bool serve_connect(SocketServer* s, uint32_t id, int fd, const sockaddr* address, socklen_t size) {
  int result;
  do {
    result = connect(fd, address, size);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return reply(s, id, "connect", 0, fd);
  if (errno != EINPROGRESS) return fail_with(s, id, "connect", fd);
  if (s->count == kMaxPending) {
    errno = EAGAIN;
    return fail_with(s, id, "connect", fd);
  }
  s->ids[s->count] = id;
  s->polled[1 + s->count++] = {fd, POLLOUT, 0};
  return true;
}

bool serve_bind(SocketServer* s, const SocketRequest& r, int fd, const sockaddr* address, socklen_t size) {
  int on = 1;
  if (r.is_datagram == 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (r.family == kSocketIpv6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd, address, size) != 0) return fail_with(s, r.id, "bind", fd);
  if (r.is_datagram == 0 && listen(fd, static_cast<int>(r.backlog)) != 0) return fail_with(s, r.id, "listen", fd);
  return reply(s, r.id, "bind", 0, fd);
}

void forget(SocketServer* s, int index) {
  s->count--;
  s->ids[index] = s->ids[s->count];
  s->polled[1 + index] = s->polled[1 + s->count];
}

void cancel(SocketServer* s, uint32_t id) {
  for (int i = 0; i < s->count; i++) {
    if (s->ids[i] != id) continue;
    close(s->polled[1 + i].fd);
    forget(s, i);
    return;
  }
}

bool serve_request(SocketServer* s, const Message& m) {
  const SocketRequest& r = m.request;
  if (r.op == kSocketCancel) {
    cancel(s, r.id);
    return true;
  }
  sockaddr_storage storage;
  socklen_t size = 0;
  if ((r.op != kSocketConnect && r.op != kSocketBind) || !address_of(m, &storage, &size))
    return reply(s, r.id, "socket", EINVAL, -1);
  const auto* address = reinterpret_cast<const sockaddr*>(&storage);
  int type = (r.is_datagram != 0 ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  int fd = socket(storage.ss_family, type, 0);
  if (fd < 0) return fail_with(s, r.id, "socket", -1);
  return r.op == kSocketConnect ? serve_connect(s, r.id, fd, address, size) : serve_bind(s, r, fd, address, size);
}

bool receive_request(SocketServer* s) {
  static Message m;
  ssize_t n = recv(s->control, &m, sizeof m - 1, 0);
  if (n < 0 && errno == EINTR) return true;
  if (n < static_cast<ssize_t>(sizeof m.request)) return false;
  if (m.request.text_size != static_cast<size_t>(n) - sizeof m.request) return false;
  m.text[m.request.text_size] = 0;
  return serve_request(s, m);
}

bool finish_connections(SocketServer* s) {
  for (int i = s->count - 1; i >= 0; i--) {
    pollfd at = s->polled[1 + i];
    if (at.revents == 0) continue;
    uint32_t id = s->ids[i];
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(at.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    forget(s, i);
    if (!reply(s, id, "connect", error, at.fd)) return false;
  }
  return true;
}

}  // namespace

// slot of the control socket. Ends with it.
WHERRY_STEP(serve_sockets) {
  static SocketServer server;
  server.control = slot_fd(ctx, step.integer(0));
  server.polled[0] = {server.control, POLLIN, 0};
  send_status(ctx, kStatusAwait, 0, -1);
  for (bool goes_on = true; goes_on;) {
    if (poll(server.polled, static_cast<nfds_t>(1 + server.count), -1) < 0) {
      if (errno != EINTR) break;
      continue;
    }
    goes_on = finish_connections(&server);
    if (goes_on && server.polled[0].revents != 0) goes_on = receive_request(&server);
  }
  _exit(0);
}

}  // namespace wherry
