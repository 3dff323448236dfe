// SPDX-License-Identifier: MIT
// Bytes, size, durability and locks of an open file.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <string>

#include "addon_state.h"
#include "fs_ops.h"
#include "poll_handle.h"

namespace wherry {
namespace {

// Arguments (fd, bytes, offset in bytes, length), all checked against the array's bounds.
struct Slice {
  int fd = -1;
  const uint8_t* data = nullptr;
  size_t length = 0;
};

bool slice_arg(const Napi::CallbackInfo& info, Slice* slice) {
  bool ok = true;
  slice->fd = static_cast<int>(int_arg(info, 0, &ok));
  if (!ok) return false;
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw_type(info.Env(), "bytes must be a Uint8Array");
    return false;
  }
  const Napi::Uint8Array bytes = info[1].As<Napi::Uint8Array>();
  const int64_t size = static_cast<int64_t>(bytes.ByteLength());
  const int64_t offset = int_arg_or(info, 2, 0, &ok);
  const int64_t length = int_arg_or(info, 3, size - offset, &ok);
  if (!ok) return false;
  if (offset < 0 || length < 0 || offset > size || length > size - offset) {
    throw_type(info.Env(), "offset and length must lie within the bytes");
    return false;
  }
  slice->data = bytes.Data() + offset;
  slice->length = static_cast<size_t>(length);
  return true;
}

Napi::Value js_write(const Napi::CallbackInfo& info) {
  Slice slice;
  if (!slice_arg(info, &slice)) return info.Env().Undefined();
  ssize_t written;
  do {
    written = write(slice.fd, slice.data, slice.length);
  } while (written < 0 && errno == EINTR);
  if (written < 0) return throw_errno(info.Env(), errno, "write");
  return Napi::Number::New(info.Env(), static_cast<double>(written));
}

Napi::Value js_pwrite(const Napi::CallbackInfo& info) {
  Slice slice;
  bool ok = true;
  if (!slice_arg(info, &slice)) return info.Env().Undefined();
  const int64_t position = int_arg(info, 4, &ok);
  if (!ok) return info.Env().Undefined();
  ssize_t written;
  do {
    written = pwrite(slice.fd, slice.data, slice.length, position);
  } while (written < 0 && errno == EINTR);
  if (written < 0) return throw_errno(info.Env(), errno, "pwrite");
  return Napi::Number::New(info.Env(), static_cast<double>(written));
}

Napi::Value js_ftruncate(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int fd = static_cast<int>(int_arg(info, 0, &ok));
  const int64_t size = int_arg(info, 1, &ok);
  if (!ok) return info.Env().Undefined();
  if (ftruncate(fd, size) != 0) return throw_errno(info.Env(), errno, "ftruncate");
  return info.Env().Undefined();
}

template <int (*operation)(int)>
Napi::Value on_fd(const Napi::CallbackInfo& info, const char* syscall) {
  bool ok = true;
  const int fd = static_cast<int>(int_arg(info, 0, &ok));
  if (!ok) return info.Env().Undefined();
  if (operation(fd) != 0) return throw_errno(info.Env(), errno, syscall);
  return info.Env().Undefined();
}

Napi::Value js_fsync(const Napi::CallbackInfo& info) { return on_fd<fsync>(info, "fsync"); }
Napi::Value js_fdatasync(const Napi::CallbackInfo& info) { return on_fd<fdatasync>(info, "fdatasync"); }
Napi::Value js_syncfs(const Napi::CallbackInfo& info) { return on_fd<syncfs>(info, "syncfs"); }
// Waits for the disk on libuv's pool: seconds, when much was written.
class SyncWork : public Napi::AsyncWorker {
 public:
  SyncWork(Napi::Env env, int fd)
      : AsyncWorker(env, "WherrySync"), fd_(fd), deferred_(Napi::Promise::Deferred::New(env)) {}
  ~SyncWork() override { ::close(fd_); }
  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    if (syncfs(fd_) != 0) error_ = errno;
  }
  void OnOK() override {
    if (error_ == 0) {
      deferred_.Resolve(Env().Undefined());
    } else {
      deferred_.Reject(system_error(Env(), error_, "syncfs").Value());
    }
  }

 private:
  int fd_;
  int error_ = 0;
  Napi::Promise::Deferred deferred_;
};

// syncfsAsync(fd) -> Promise: everything on the file system of `fd` is on the disk then. The caller may close `fd` at
// once.
Napi::Value js_syncfs_async(const Napi::CallbackInfo& info) {
  int fd = fcntl(int_of(info, 0), F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return throw_errno(info.Env(), errno, "fcntl(F_DUPFD_CLOEXEC)");
  auto* work = new SyncWork(info.Env(), fd);
  Napi::Promise promise = work->promise();
  work->Queue();
  return promise;
}

// EINTR is not retried: on Linux the descriptor is gone by then, and its number may belong to someone else.
Napi::Value js_close(const Napi::CallbackInfo& info) {
  // Before: once it is closed, another thread may get the number.
  disown_descriptor(info.Env(), int_of(info, 0));
  return on_fd<close>(info, "close");
}

// ofdLock(fd, 'read' | 'write' | 'unlock', { wait }) -> whether the lock was taken.
Napi::Value js_ofd_lock(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int fd = static_cast<int>(int_arg(info, 0, &ok));
  if (!ok) return info.Env().Undefined();
  const std::string kind = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
  struct flock lock = {};
  lock.l_whence = SEEK_SET;
  if (kind == "read") {
    lock.l_type = F_RDLCK;
  } else if (kind == "write") {
    lock.l_type = F_WRLCK;
  } else if (kind == "unlock") {
    lock.l_type = F_UNLCK;
  } else {
    return throw_type(info.Env(), "the kind of lock must be 'read', 'write' or 'unlock'");
  }
  const bool wait = info[2].IsObject() && bool_field(info[2].As<Napi::Object>(), "wait");
  int result;
  do {
    result = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return Napi::Boolean::New(info.Env(), true);
  if (!wait && (errno == EAGAIN || errno == EACCES)) return Napi::Boolean::New(info.Env(), false);
  return throw_errno(info.Env(), errno, "fcntl");
}

}  // namespace

void init_fs_io(Napi::Env env, Napi::Object exports) {
  exports.Set("write", Napi::Function::New<js_write>(env, "write"));
  exports.Set("pwrite", Napi::Function::New<js_pwrite>(env, "pwrite"));
  exports.Set("ftruncate", Napi::Function::New<js_ftruncate>(env, "ftruncate"));
  exports.Set("fsync", Napi::Function::New<js_fsync>(env, "fsync"));
  exports.Set("fdatasync", Napi::Function::New<js_fdatasync>(env, "fdatasync"));
  exports.Set("syncfs", Napi::Function::New<js_syncfs>(env, "syncfs"));
  exports.Set("syncfsAsync", Napi::Function::New<js_syncfs_async>(env, "syncfsAsync"));
  exports.Set("close", Napi::Function::New<js_close>(env, "close"));
  exports.Set("ofdLock", Napi::Function::New<js_ofd_lock>(env, "ofdLock"));
}

}  // namespace wherry
