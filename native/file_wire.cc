// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "file_server.h"
#include "pass_fds.h"

namespace wherry {
namespace {

bool read_all(int fd, void* target, size_t size) {
  auto* at = static_cast<char*>(target);
  while (size > 0) {
    ssize_t n = read(fd, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

bool receive_file_request(FileServer* s) {
  iovec part = {&s->request, sizeof s->request};
  PassedFds<kMaxFileFds> passed;
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  passed.expect(&header);
  ssize_t n;
  do {
    n = recvmsg(s->socket, &header, MSG_CMSG_CLOEXEC | MSG_WAITALL);
  } while (n < 0 && errno == EINTR);
  const int count = n <= 0 ? 0 : passed.take(&header, s->fds);
  s->fd_count = count < 0 ? 0 : count;
  if (count < 0) return false;
  const FileRequest& r = s->request;
  if (n != static_cast<ssize_t>(sizeof r)) return false;
  if (r.path_size > kPathBytes || r.other_size > kPathBytes || r.value_size > sizeof s->value) return false;
  s->path[r.path_size] = s->other[r.other_size] = 0;
  return read_all(s->socket, s->path, r.path_size) && read_all(s->socket, s->other, r.other_size) &&
         read_all(s->socket, s->value, r.value_size);
}

bool send_file_reply(FileServer* s) {
  iovec parts[3] = {{&s->reply, sizeof s->reply}, {s->extra, s->reply.extra_size}, {s->content, s->reply.content_size}};
  PassedFds<1> passed;
  msghdr header = {};
  header.msg_iov = parts;
  header.msg_iovlen = 3;
  if (s->result >= 0) passed.put(&header, &s->result, 1);
  size_t left = sizeof s->reply + s->reply.extra_size + s->reply.content_size;
  while (left > 0) {
    ssize_t n = sendmsg(s->socket, &header, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    left -= static_cast<size_t>(n);
    header.msg_control = nullptr;
    header.msg_controllen = 0;
    auto done = static_cast<size_t>(n);
    for (iovec& part : parts) {
      size_t taken = done < part.iov_len ? done : part.iov_len;
      part.iov_base = static_cast<char*>(part.iov_base) + taken;
      part.iov_len -= taken;
      done -= taken;
    }
  }
  return true;
}

}  // namespace wherry
