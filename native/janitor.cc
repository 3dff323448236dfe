// SPDX-License-Identifier: MIT
#include "janitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pass_fds.h"
#include "remove_tree.h"
#include "sys.h"

namespace wherry {
namespace {

enum MessageKind : int { kHold = 1, kExited = 2, kRemove = 3 };

struct MessageHeader {
  int kind;
  pid_t pid;
};

constexpr size_t kMaxMessage = 128 * 1024;
constexpr int kNice = 5;

struct Held {
  pid_t pid;
  int fd;
};

struct Janitor {
  char message[kMaxMessage];
  Held* held;
  size_t count, capacity;
};

// Returns false when the socket is full.
bool send_message(int socket, const void* data, size_t size, int fd, int flags) {
  iovec part = {const_cast<void*>(data), size};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  PassedFds<1> passed;
  if (fd >= 0) passed.put(&message, &fd, 1);
  ssize_t n;
  do {
    n = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
  } while (n < 0 && errno == EINTR);
  return n >= 0 || errno != EAGAIN;
}

void keep(JanitorLink* link, const MessageHeader& header, const void* data, size_t size) {
  size_t total = sizeof header + size;
  size_t needed = link->size + sizeof total + total;
  if (needed > link->capacity) {
    auto* grown = static_cast<char*>(realloc(link->backlog, needed * 2));
    if (grown == nullptr) return;
    link->backlog = grown;
    link->capacity = needed * 2;
  }
  char* at = link->backlog + link->size;
  memcpy(at, &total, sizeof total);
  memcpy(at + sizeof total, &header, sizeof header);
  if (size > 0) memcpy(at + sizeof total + sizeof header, data, size);
  link->size = needed;
}

void hold(Janitor* j, pid_t pid, int fd) {
  // Killed before it was handed over: its end was told already.
  if (kill(pid, 0) != 0 && errno == ESRCH) {
    close(fd);
    return;
  }
  if (j->count == j->capacity) {
    size_t capacity = j->capacity == 0 ? 64 : j->capacity * 2;
    auto* grown = static_cast<Held*>(realloc(j->held, capacity * sizeof(Held)));
    if (grown == nullptr) {
      close(fd);
      return;
    }
    j->held = grown;
    j->capacity = capacity;
  }
  j->held[j->count++] = {pid, fd};
}

void let_go(Janitor* j, pid_t pid) {
  for (size_t i = 0; i < j->count; i++) {
    if (j->held[i].pid != pid) continue;
    close(j->held[i].fd);
    j->held[i] = j->held[--j->count];
    return;
  }
}

void remove_entries(const char* entries, size_t size) {
  for (size_t at = 0; at < size; at += strlen(entries + at) + 1) remove_entry(entries + at);
}

[[noreturn]] void run(int socket) {
  prctl(PR_SET_NAME, "wherry-janitor", 0, 0, 0);
  static Janitor janitor;
  for (;;) {
    iovec part = {janitor.message, sizeof janitor.message - 1};
    PassedFds<1> passed;
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    passed.expect(&message);
    ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) continue;
    if (n < static_cast<ssize_t>(sizeof(MessageHeader))) _exit(0);
    MessageHeader header;
    memcpy(&header, janitor.message, sizeof header);
    int fd = -1;
    // Without it, only the end of the container takes a little longer.
    if (passed.take(&message, &fd) < 1) fd = -1;
    janitor.message[n] = 0;
    if (header.kind == kHold && fd >= 0) hold(&janitor, header.pid, fd);
    if (header.kind == kExited) let_go(&janitor, header.pid);
    if (header.kind == kRemove) remove_entries(janitor.message + sizeof header, static_cast<size_t>(n) - sizeof header);
  }
}

}  // namespace

bool start_janitor(JanitorLink* link) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return false;
  pid_t pid = fork();
  if (pid == 0) {
    // The socket to Node must end with the launcher alone, and so must what it holds of containers.
    if (pair[0] != 3) dup3(pair[0], 3, O_CLOEXEC);
    sys_close_range(4, ~0u, 0);
    // Nobody waits for what it does, while Node and the containers may wait for a CPU.
    setpriority(PRIO_PROCESS, 0, kNice);
    run(3);
  }
  close(pair[0]);
  link->pid = pid;
  link->socket = pair[1];
  return pid > 0;
}

void janitor_hold(int socket, pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/mnt", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  MessageHeader header = {kHold, pid};
  // A janitor that is late must not hold up a start: then the container's end takes a little longer.
  send_message(socket, &header, sizeof header, fd, MSG_DONTWAIT);
  close(fd);
}

void janitor_exited(JanitorLink* link, pid_t pid) {
  keep(link, {kExited, pid}, nullptr, 0);
  janitor_flush(link, false);
}

void janitor_remove(JanitorLink* link, const void* entries, size_t size) {
  keep(link, {kRemove, 0}, entries, size);
  janitor_flush(link, false);
}

void janitor_flush(JanitorLink* link, bool wait) {
  // Whoever has stopped it must not stop us too.
  if (wait) kill(link->pid, SIGCONT);
  size_t at = 0;
  while (at < link->size) {
    size_t total;
    memcpy(&total, link->backlog + at, sizeof total);
    if (!send_message(link->socket, link->backlog + at + sizeof total, total, -1, wait ? 0 : MSG_DONTWAIT)) break;
    at += sizeof total + total;
  }
  memmove(link->backlog, link->backlog + at, link->size - at);
  link->size -= at;
}

void remove_entry(const char* entry) {
  if (entry[0] == 0 || entry[1] != '/') return;
  if (entry[0] == 'd') remove_tree(entry + 1);
  if (entry[0] == 'c') remove_cgroups(entry + 1);
  if (entry[0] == 'p') remove_cgroups_by_prefix(entry + 1);
  if (entry[0] == 'r') rmdir(entry + 1);
}

}  // namespace wherry
