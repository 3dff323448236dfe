// SPDX-License-Identifier: MIT
// The state of a process that serves files, and its side of the talk with Node: native/fs_serve.cc and
// lib/container-files/file-protocol.ts are the other. Context: that process, single-threaded.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "file_protocol.h"

namespace wherry {

inline constexpr size_t kPathBytes = 4096, kXattrBytes = 65536, kContentBytes = 64 * 1024;
inline constexpr size_t kExtraBytes = 1024 * 1024;  // what our reader of archives takes before one entry

static_assert(sizeof(FileRequest) == 64 && sizeof(FileReply) == 144, "the wire format is fixed");

struct FileServer {
  int socket, root;
  int fds[kMaxFileFds];
  int fd_count;
  int result;  // descriptor for the reply; -1: none
  FileRequest request;
  FileReply reply;
  char path[kPathBytes + 1], other[kPathBytes + 1];
  char value[kXattrBytes];
  char names[kXattrBytes];
  char content[kContentBytes];
  char extra[kExtraBytes];
};

// Reads a request with its descriptors; false when there is no more, or nonsense.
bool receive_file_request(FileServer* s);
bool send_file_reply(FileServer* s);

}  // namespace wherry
