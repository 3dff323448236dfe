// SPDX-License-Identifier: MIT
// Descriptors that go along with a message on a Unix socket (unix(7), SCM_RIGHTS).
#pragma once

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

namespace wherry {

// Room for descriptors of one message, and for no more of them. It must live as long as the message's header is used.
template <int kMost>
class PassedFds {
 public:
  // Adds descriptors, of which there are kMost at most, to what is sent. They stay the sender's.
  void put(msghdr* header, const int* fds, int count) {
    if (count <= 0 || count > kMost) return;
    size_t bytes = sizeof(int) * static_cast<size_t>(count);
    memset(control_, 0, sizeof control_);
    header->msg_control = control_;
    header->msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* c = CMSG_FIRSTHDR(header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(c), fds, bytes);
  }

  // Makes room in what is about to be received, with MSG_CMSG_CLOEXEC.
  void expect(msghdr* header) {
    header->msg_control = control_;
    header->msg_controllen = sizeof control_;
  }

  // Takes what came along into an array with room for kMost. Returns how many; -1 where there were more than that, or
  // not all of them could be had (too many open files): then none is kept, since nobody could tell which is which.
  static int take(msghdr* header, int* fds) {
    int count = 0;
    bool is_cut = (header->msg_flags & MSG_CTRUNC) != 0;
    for (cmsghdr* c = CMSG_FIRSTHDR(header); c != nullptr; c = CMSG_NXTHDR(header, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
      size_t here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < here; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
        if (count < kMost) {
          fds[count++] = fd;
        } else {
          close(fd);
          is_cut = true;
        }
      }
    }
    if (!is_cut) return count;
    while (count > 0) close(fds[--count]);
    return -1;
  }

 private:
  alignas(cmsghdr) char control_[CMSG_SPACE(sizeof(int) * kMost)];
};

}  // namespace wherry
