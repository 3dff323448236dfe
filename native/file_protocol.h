// SPDX-License-Identifier: MIT
// Messages between Node and the step that serves files, on a socket of their own: see file_server.cc.
#pragma once

#include <stdint.h>

namespace wherry {

// lib/container-files/file-protocol.ts has the same list.
enum FileOp : uint32_t {
  kFileOpen = 1,
  kFileMkdir,
  kFileMknod,
  kFileSymlink,
  kFileLink,
  kFileUnlink,
  kFileRename,
  kFileReadlink,
  kFileStat,
  kFileChmod,
  kFileChown,
  kFileUtimens,
  kFileSetxattr,
  kFileReadEntry,
};

// Descriptors that come with a request.
inline constexpr int kMaxFileFds = 2;

struct FileRequest {
  uint32_t op;
  int32_t flags;
  uint32_t mode, uid, gid, major_number, minor_number;
  uint32_t path_size, other_size, value_size;
  int64_t seconds, nanoseconds;
  uint64_t room;  // of read_entry: a file up to this size is sent along
};

// The order of kEntryField in lib/launcher/fs-native.ts.
struct FileStatus {
  double mode, uid, gid, size, seconds, nanoseconds, device, inode_high, inode_low, links, major_number, minor_number;
  double descriptor, bytes_read, target_length, is_mount;
};

struct FileReply {
  int32_t error;
  uint32_t extra_size, content_size, has_descriptor;
  FileStatus status;
};

}  // namespace wherry
