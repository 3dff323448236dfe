// SPDX-License-Identifier: MIT
// The step that serves files: single system calls for Node, with the ids and privileges of this process and in its
// mount namespace, which may be a container's. Node brings the descriptors that a call is about and takes the one that
// it makes, so that nothing is kept here between two requests.
//
// The container is not to be trusted and may change its files meanwhile. Paths are resolved inside of the root; names
// in a directory are single components; no device, FIFO or socket is ever opened, but only looked at.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "file_server.h"
#include "protocol.h"
#include "steps.h"
#include "sys.h"

namespace wherry {
namespace {

int result_of(long result) { return result < 0 ? -errno : 0; }

// A descriptor's way into the calls that take paths only. The working directory is our own /proc/self/fd.
const char* magic_link(int fd, char buffer[16]) {
  snprintf(buffer, 16, "%d", fd);
  return buffer;
}

bool is_name(const char* name) {
  return name[0] != 0 && strchr(name, '/') == nullptr && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int dir_of(const FileServer& s) { return s.fd_count > 0 ? s.fds[0] : s.root; }

// Opens the content of a regular file and of nothing else. It is looked at first, and then that very thing is opened.
int open_regular(FileServer* s, int flags) {
  int path = open_in_root(dir_of(*s), s->path, O_PATH | (flags & O_NOFOLLOW), 0);
  if (path == -ENOENT && (flags & O_CREAT) != 0) {
    path = open_in_root(dir_of(*s), s->path, flags | O_NONBLOCK | O_NOCTTY, s->request.mode);
    struct stat made;
    if (path < 0 || (fstat(path, &made) == 0 && S_ISREG(made.st_mode))) return path;
    close(path);
    return -EINVAL;
  }
  if (path < 0) return path;
  struct stat here;
  int fd = result_of(fstat(path, &here));
  if (fd == 0 && (flags & O_EXCL) != 0) fd = -EEXIST;
  if (fd == 0 && S_ISDIR(here.st_mode)) fd = -EISDIR;
  if (fd == 0 && S_ISLNK(here.st_mode)) fd = -ELOOP;
  if (fd == 0 && !S_ISREG(here.st_mode)) fd = -EINVAL;
  if (fd == 0) {
    char link[16];
    fd = open(magic_link(path, link), (flags & ~(O_CREAT | O_NOFOLLOW)) | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) fd = -errno;
  }
  close(path);
  return fd;
}

int file_open(FileServer* s) {
  int flags = s->request.flags;
  bool harmless = (flags & (O_PATH | O_DIRECTORY)) != 0;
  s->result = harmless ? open_in_root(dir_of(*s), s->path, flags, 0) : open_regular(s, flags);
  return s->result < 0 ? s->result : 0;
}

void put_status(const struct stat& here, FileStatus* status) {
  auto inode = static_cast<uint64_t>(here.st_ino);
  *status = {};
  status->mode = here.st_mode;
  status->uid = here.st_uid;
  status->gid = here.st_gid;
  status->size = static_cast<double>(here.st_size);
  status->seconds = static_cast<double>(here.st_mtim.tv_sec);
  status->nanoseconds = static_cast<double>(here.st_mtim.tv_nsec);
  status->device = static_cast<double>(here.st_dev);
  status->inode_high = static_cast<double>(inode >> 32);
  status->inode_low = static_cast<double>(inode & 0xffffffff);
  status->links = static_cast<double>(here.st_nlink);
  status->major_number = major(here.st_rdev);
  status->minor_number = minor(here.st_rdev);
  status->descriptor = -1;
}

bool is_mount_root(int fd) {
  struct statx here;
  return statx(fd, "", AT_EMPTY_PATH, 0, &here) == 0 && (here.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

void append(FileServer* s, const void* data, size_t size) {
  memcpy(s->extra + s->reply.extra_size, data, size);
  s->reply.extra_size += static_cast<uint32_t>(size);
}

void append_number(FileServer* s, size_t number, int bytes) {
  for (int i = 0; i < bytes; i++) {
    auto byte = static_cast<uint8_t>(number >> (8 * i));
    append(s, &byte, 1);
  }
}

// As native/fs_pack.cc: length (2 bytes) and name, length (4 bytes) and value.
int append_xattrs(FileServer* s, int fd) {
  char link[16];
  magic_link(fd, link);
  ssize_t length = listxattr(link, s->names, sizeof s->names);
  if (length < 0) return errno == ENOTSUP ? 0 : -errno;
  for (const char* name = s->names; name < s->names + length; name += strlen(name) + 1) {
    ssize_t size = getxattr(link, name, s->value, sizeof s->value);
    if (size < 0 && (errno == ENODATA || errno == ENOTSUP || errno == EPERM)) continue;
    if (size < 0) return -errno;
    if (s->reply.extra_size + strlen(name) + static_cast<size_t>(size) + 6 > sizeof s->extra) return -E2BIG;
    append_number(s, strlen(name), 2);
    append(s, name, strlen(name));
    append_number(s, static_cast<size_t>(size), 4);
    append(s, s->value, static_cast<size_t>(size));
  }
  return 0;
}

int read_content(FileServer* s, int fd, size_t size) {
  while (s->reply.content_size < size) {
    ssize_t n = read(fd, s->content + s->reply.content_size, size - s->reply.content_size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    if (n == 0) break;
    s->reply.content_size += static_cast<uint32_t>(n);
  }
  s->reply.status.bytes_read = s->reply.content_size;
  return 0;
}

// Opens what an O_PATH descriptor stands for, and reads it when it is small.
int read_opened(FileServer* s, int path, bool is_directory) {
  char link[16];
  int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | (is_directory ? O_DIRECTORY : 0);
  int fd = open(magic_link(path, link), flags);
  if (fd < 0) return -errno;
  auto size = static_cast<uint64_t>(s->reply.status.size);
  if (!is_directory && size <= s->request.room && size <= kContentBytes) {
    int result = read_content(s, fd, size);
    close(fd);
    return result;
  }
  s->result = fd;
  return 0;
}

// Opens a path whose components are names, following no link: "." is the directory itself.
int open_names(int dir, char* path) {
  int at = dir;
  if (strcmp(path, ".") == 0) path[0] = 0;
  for (char* name = path;;) {
    char* slash = strchr(name, '/');
    if (slash != nullptr) *slash = 0;
    int next = -EINVAL;
    if (name[0] == 0 && at == dir) {
      next = openat(at, ".", O_PATH | O_CLOEXEC);
    } else if (is_name(name)) {
      next = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC | (slash != nullptr ? O_DIRECTORY : 0));
    }
    if (next == -1) next = -errno;
    if (at != dir) close(at);
    if (slash == nullptr || next < 0) return next;
    at = next;
    name = slash + 1;
  }
}

int file_read_entry(FileServer* s) {
  int path = open_names(dir_of(*s), s->path);
  if (path < 0) return path;
  struct stat here;
  int result = result_of(fstat(path, &here));
  if (result == 0) put_status(here, &s->reply.status);
  s->reply.status.is_mount = is_mount_root(path) ? 1 : 0;
  if (result == 0 && S_ISLNK(here.st_mode)) {
    ssize_t length = readlinkat(path, "", s->extra, kPathBytes);
    result = result_of(length);
    if (result == 0) s->reply.status.target_length = s->reply.extra_size = static_cast<uint32_t>(length);
  }
  if (result == 0) result = append_xattrs(s, path);
  if (result == 0 && (S_ISREG(here.st_mode) || S_ISDIR(here.st_mode)))
    result = read_opened(s, path, S_ISDIR(here.st_mode));
  close(path);
  return result;
}

// Calls on what a descriptor stands for, O_PATH or not.
int on_descriptor(FileServer* s) {
  const FileRequest& r = s->request;
  int fd = s->fds[0];
  char link[16];
  magic_link(fd, link);
  switch (r.op) {
    case kFileStat: {
      struct stat here;
      int result = result_of(fstat(fd, &here));
      if (result == 0) put_status(here, &s->reply.status);
      return result;
    }
    case kFileReadlink: {
      ssize_t length = readlinkat(fd, "", s->extra, kPathBytes);
      if (length >= 0) s->reply.extra_size = static_cast<uint32_t>(length);
      return result_of(length);
    }
    case kFileChmod: return result_of(chmod(link, r.mode));
    case kFileChown: return result_of(fchownat(fd, "", r.uid, r.gid, AT_EMPTY_PATH));
    case kFileSetxattr: return result_of(setxattr(link, s->path, s->value, r.value_size, 0));
    default: {
      timespec time = {static_cast<time_t>(r.seconds), static_cast<long>(r.nanoseconds)};
      timespec times[2] = {time, time};
      return result_of(utimensat(AT_FDCWD, link, times, 0));
    }
  }
}

// Calls on a name in a directory.
int on_name(FileServer* s) {
  const FileRequest& r = s->request;
  int dir = s->fds[0];
  if (!is_name(s->path)) return -EINVAL;
  switch (r.op) {
    case kFileMkdir: return result_of(mkdirat(dir, s->path, r.mode));
    case kFileMknod: return result_of(mknodat(dir, s->path, r.mode, makedev(r.major_number, r.minor_number)));
    case kFileSymlink: return result_of(symlinkat(s->other, dir, s->path));
    case kFileUnlink: return result_of(unlinkat(dir, s->path, r.flags & AT_REMOVEDIR));
    default:
      if (!is_name(s->other) || s->fd_count < 2) return -EINVAL;
      if (r.op == kFileLink) return result_of(linkat(dir, s->path, s->fds[1], s->other, 0));
      return result_of(renameat(dir, s->path, s->fds[1], s->other));
  }
}

int serve(FileServer* s) {
  switch (s->request.op) {
    case kFileOpen: return file_open(s);
    case kFileReadEntry: return file_read_entry(s);
    default: break;
  }
  if (s->fd_count < 1 || s->request.op == 0 || s->request.op > kFileReadEntry) return -EINVAL;
  bool by_name = s->request.op >= kFileMkdir && s->request.op <= kFileRename;
  return by_name ? on_name(s) : on_descriptor(s);
}

}  // namespace

// socket slot, slot of our own /proc/self/fd. Ends with the socket.
WHERRY_STEP(serve_files) {
  static FileServer server;
  server.socket = slot_fd(ctx, step.integer(0));
  int result = check(ctx, "fchdir", fchdir(slot_fd(ctx, step.integer(1))));
  if (result != 0) return result;
  server.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (server.root < 0) return check(ctx, "open", -1);
  umask(0);
  send_status(ctx, kStatusAwait, 0, -1);
  while (receive_file_request(&server)) {
    server.reply = {};
    server.result = -1;
    int error = serve(&server);
    if (error != 0) {
      server.reply.error = -error;
      server.reply.extra_size = server.reply.content_size = 0;
    }
    server.reply.has_descriptor = server.result >= 0 ? 1 : 0;
    bool sent = send_file_reply(&server);
    if (server.result >= 0) close(server.result);
    for (int i = 0; i < server.fd_count; i++) close(server.fds[i]);
    if (!sent) break;
  }
  _exit(0);
}

}  // namespace wherry
