// SPDX-License-Identifier: MIT
// All system calls that a regular file of an archive takes, in one call from JavaScript.
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include "addon_state.h"
#include "fs_ops.h"

namespace wherry {
namespace {

// What a file gets once its content is complete. An owner of -1 is left as it is.
struct FileStatus {
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  struct timespec modified = {};
};

// Reads (mode, uid, gid, seconds, nanoseconds) from argument `at` on.
bool status_args(const Napi::CallbackInfo& info, size_t at, FileStatus* status) {
  bool ok = true;
  status->mode = static_cast<mode_t>(int_arg(info, at, &ok));
  status->uid = static_cast<uid_t>(int_arg(info, at + 1, &ok));
  status->gid = static_cast<gid_t>(int_arg(info, at + 2, &ok));
  status->modified.tv_sec = int_arg(info, at + 3, &ok);
  status->modified.tv_nsec = static_cast<long>(int_arg(info, at + 4, &ok));
  return ok;
}

// In this order: a change of owner clears set-id bits. Returns the call that failed, with errno set, or nullptr.
const char* apply_status(int fd, const FileStatus& status) {
  const bool has_owner = status.uid != static_cast<uid_t>(-1) || status.gid != static_cast<gid_t>(-1);
  if (has_owner && fchown(fd, status.uid, status.gid) != 0) return "fchown";
  if (fchmod(fd, status.mode) != 0) return "fchmod";
  const struct timespec times[2] = {status.modified, status.modified};
  return futimens(fd, times) == 0 ? nullptr : "futimens";
}

const char* write_all(int fd, const uint8_t* data, size_t length) {
  while (length > 0) {
    const ssize_t written = write(fd, data, length);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return "write";
    data += written;
    length -= static_cast<size_t>(written);
  }
  return nullptr;
}

Napi::Value close_with(const Napi::CallbackInfo& info, int fd, const char* failed, const char* path) {
  const int error = errno;
  if (close(fd) != 0 && failed == nullptr) return throw_errno(info.Env(), errno, "close", path);
  return failed == nullptr ? info.Env().Undefined() : throw_errno(info.Env(), error, failed, path);
}

// makeFile(dirfd, name, bytes, start, end, mode, uid, gid, seconds, nanoseconds)
Napi::Value js_make_file(const Napi::CallbackInfo& info) {
  bool ok = true;
  FileStatus status;
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  const int64_t start = int_arg(info, 3, &ok);
  const int64_t end = int_arg(info, 4, &ok);
  if (!ok || !status_args(info, 5, &status)) return info.Env().Undefined();
  if (!info[2].IsTypedArray() || info[2].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    return throw_type(info.Env(), "bytes must be a Uint8Array");
  }
  const Napi::Uint8Array bytes = info[2].As<Napi::Uint8Array>();
  if (start < 0 || end < start || end > static_cast<int64_t>(bytes.ByteLength())) {
    return throw_type(info.Env(), "start and end must lie within the bytes");
  }
  PathArg name(info.Env(), info[1], "openat2");
  if (!name.ok()) return info.Env().Undefined();
  const int fd = open_beneath(dirfd, name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, S_IRUSR | S_IWUSR,
                              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (fd < 0) return throw_errno(info.Env(), -fd, "openat2", name.c_str());
  const char* failed = write_all(fd, bytes.Data() + start, static_cast<size_t>(end - start));
  if (failed == nullptr) failed = apply_status(fd, status);
  return close_with(info, fd, failed, name.c_str());
}

// finishFile(fd, mode, uid, gid, seconds, nanoseconds)
Napi::Value js_finish_file(const Napi::CallbackInfo& info) {
  bool ok = true;
  FileStatus status;
  const int fd = static_cast<int>(int_arg(info, 0, &ok));
  if (!ok || !status_args(info, 1, &status)) return info.Env().Undefined();
  // Closed here: the number is somebody else's soon, and must not be closed again when this environment ends.
  disown_descriptor(info.Env(), fd);
  return close_with(info, fd, apply_status(fd, status), nullptr);
}

}  // namespace

void init_fs_file(Napi::Env env, Napi::Object exports) {
  exports.Set("makeFile", Napi::Function::New<js_make_file>(env, "makeFile"));
  exports.Set("finishFile", Napi::Function::New<js_finish_file>(env, "finishFile"));
}

}  // namespace wherry
