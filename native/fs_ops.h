// SPDX-License-Identifier: MIT
// File operations relative to a directory descriptor that Node lacks. Mechanism only: one function, one system call;
// fs_file.cc and fs_pack.cc alone have a whole file's calls in one, for trees of thousands of files.
#pragma once

#include <napi.h>

#include <cstddef>

namespace wherry {

inline constexpr size_t kPathBytes = 4096;

// A path argument: a JS string (stored as UTF-8) or a Uint8Array (stored as it is), NUL-terminated.
class PathArg {
 public:
  PathArg(Napi::Env env, napi_value value, const char* syscall);
  bool ok() const { return ok_; }
  const char* c_str() const { return text_; }

 private:
  bool ok_ = false;
  char text_[kPathBytes + 1];
};

// Sets a pending JS Error with code, errno (positive), syscall and path, and returns undefined.
Napi::Value throw_errno(Napi::Env env, int error, const char* syscall, const char* path = nullptr);
Napi::Value throw_type(Napi::Env env, const char* message);

// Reads argument `index` as an integer; sets a pending TypeError and `*ok = false` when it is none.
int64_t int_arg(const Napi::CallbackInfo& info, size_t index, bool* ok);
int64_t int_arg_or(const Napi::CallbackInfo& info, size_t index, int64_t fallback, bool* ok);

void init_fs_open(Napi::Env env, Napi::Object exports);
void init_fs_tree(Napi::Env env, Napi::Object exports);
void init_fs_meta(Napi::Env env, Napi::Object exports);
void init_fs_xattr(Napi::Env env, Napi::Object exports);
void init_fs_io(Napi::Env env, Napi::Object exports);
void init_fs_file(Napi::Env env, Napi::Object exports);
void init_fs_pack(Napi::Env env, Napi::Object exports);
void init_fs_serve(Napi::Env env, Napi::Object exports);

// Opens `path` beneath `dirfd` by openat2, or as below where the kernel has none. O_CLOEXEC is always set.
// Returns a descriptor, or a negative errno.
int open_beneath(int dirfd, const char* path, int flags, unsigned mode, unsigned long long resolve);

// Opens `path` beneath `dirfd` without openat2: every component by itself, symbolic links resolved in user space.
// Returns a descriptor, or a negative errno.
int open_component_wise(int dirfd, const char* path, int flags, unsigned mode, unsigned long long resolve);

}  // namespace wherry

// Adds the functions and constants of this header's family to `exports`.
void init_fs_ops(Napi::Env env, Napi::Object exports);
