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

#include "remove_tree.h"

namespace wherry {
namespace {

enum MessageKind : int { kHold = 1, kExited = 2, kRemove = 3 };

struct MessageHeader {
  int kind;
  pid_t pid;
};

constexpr size_t kMaxMessage = 128 * 1024;

struct Held {
  pid_t pid;
  int fd;
};

struct Janitor {
  char message[kMaxMessage];
  Held* held;
  size_t count, capacity;
};

void send_message(int socket, const MessageHeader& header, const void* data, size_t size, int fd) {
  iovec parts[2] = {{const_cast<MessageHeader*>(&header), sizeof header}, {const_cast<void*>(data), size}};
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = size > 0 ? 2 : 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
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
  // What it does can wait for what people wait for.
  setpriority(PRIO_PROCESS, 0, 5);
  static Janitor janitor;
  for (;;) {
    iovec part = {janitor.message, sizeof janitor.message - 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) continue;
    if (n < static_cast<ssize_t>(sizeof(MessageHeader))) _exit(0);
    MessageHeader header;
    memcpy(&header, janitor.message, sizeof header);
    int fd = -1;
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    if (c != nullptr && c->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(c), sizeof fd);
    janitor.message[n] = 0;
    if (header.kind == kHold && fd >= 0) hold(&janitor, header.pid, fd);
    if (header.kind == kExited) let_go(&janitor, header.pid);
    if (header.kind == kRemove) remove_entries(janitor.message + sizeof header, static_cast<size_t>(n) - sizeof header);
  }
}

}  // namespace

pid_t start_janitor(int* out) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    // The socket to Node must end with the launcher alone.
    close(3);
    close(pair[1]);
    run(pair[0]);
  }
  close(pair[0]);
  *out = pair[1];
  return pid;
}

void janitor_hold(int socket, pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/mnt", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  send_message(socket, {kHold, pid}, nullptr, 0, fd);
  close(fd);
}

void janitor_exited(int socket, pid_t pid) { send_message(socket, {kExited, pid}, nullptr, 0, -1); }

void janitor_remove(int socket, const void* entries, size_t size) {
  send_message(socket, {kRemove, 0}, entries, size, -1);
}

void remove_entry(const char* entry) {
  if (entry[0] == 0 || entry[1] != '/') return;
  if (entry[0] == 'd') remove_tree(entry + 1);
  if (entry[0] == 'c') remove_cgroups(entry + 1);
  if (entry[0] == 'p') remove_cgroups_by_prefix(entry + 1);
}

}  // namespace wherry
