// SPDX-License-Identifier: MIT
// Making, naming, removing and listing directory entries.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fs_ops.h"

namespace wherry {
namespace {

Napi::Value done(Napi::Env env, long result, const char* syscall, const char* path) {
  return result < 0 ? throw_errno(env, errno, syscall, path) : env.Undefined();
}

Napi::Value js_mkdirat(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  const mode_t mode = static_cast<mode_t>(int_arg(info, 2, &ok));
  if (!ok) return info.Env().Undefined();
  PathArg path(info.Env(), info[1], "mkdirat");
  if (!path.ok()) return info.Env().Undefined();
  return done(info.Env(), mkdirat(dirfd, path.c_str(), mode), "mkdirat", path.c_str());
}

Napi::Value js_mknodat(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  const mode_t mode = static_cast<mode_t>(int_arg(info, 2, &ok));
  const unsigned major = static_cast<unsigned>(int_arg_or(info, 3, 0, &ok));
  const unsigned minor = static_cast<unsigned>(int_arg_or(info, 4, 0, &ok));
  if (!ok) return info.Env().Undefined();
  PathArg path(info.Env(), info[1], "mknodat");
  if (!path.ok()) return info.Env().Undefined();
  return done(info.Env(), mknodat(dirfd, path.c_str(), mode, makedev(major, minor)), "mknodat", path.c_str());
}

Napi::Value js_symlinkat(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int dirfd = static_cast<int>(int_arg(info, 1, &ok));
  if (!ok) return info.Env().Undefined();
  PathArg target(info.Env(), info[0], "symlinkat");
  if (!target.ok()) return info.Env().Undefined();
  PathArg path(info.Env(), info[2], "symlinkat");
  if (!path.ok()) return info.Env().Undefined();
  return done(info.Env(), symlinkat(target.c_str(), dirfd, path.c_str()), "symlinkat", path.c_str());
}

Napi::Value js_linkat(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int old_dirfd = static_cast<int>(int_arg(info, 0, &ok));
  const int new_dirfd = static_cast<int>(int_arg(info, 2, &ok));
  const int flags = static_cast<int>(int_arg_or(info, 4, 0, &ok));
  if (!ok) return info.Env().Undefined();
  PathArg from(info.Env(), info[1], "linkat");
  if (!from.ok()) return info.Env().Undefined();
  PathArg to(info.Env(), info[3], "linkat");
  if (!to.ok()) return info.Env().Undefined();
  return done(info.Env(), linkat(old_dirfd, from.c_str(), new_dirfd, to.c_str(), flags), "linkat", to.c_str());
}

Napi::Value js_unlinkat(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  const int flags = static_cast<int>(int_arg_or(info, 2, 0, &ok));
  if (!ok) return info.Env().Undefined();
  PathArg path(info.Env(), info[1], "unlinkat");
  if (!path.ok()) return info.Env().Undefined();
  return done(info.Env(), unlinkat(dirfd, path.c_str(), flags), "unlinkat", path.c_str());
}

Napi::Value js_renameat2(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int old_dirfd = static_cast<int>(int_arg(info, 0, &ok));
  const int new_dirfd = static_cast<int>(int_arg(info, 2, &ok));
  const unsigned flags = static_cast<unsigned>(int_arg_or(info, 4, 0, &ok));
  if (!ok) return info.Env().Undefined();
  PathArg from(info.Env(), info[1], "renameat2");
  if (!from.ok()) return info.Env().Undefined();
  PathArg to(info.Env(), info[3], "renameat2");
  if (!to.ok()) return info.Env().Undefined();
  // By number: musl has no wrapper.
  const long result = syscall(SYS_renameat2, old_dirfd, from.c_str(), new_dirfd, to.c_str(), flags);
  return done(info.Env(), result, "renameat2", from.c_str());
}

Napi::Value js_readlinkat(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  if (!ok) return info.Env().Undefined();
  PathArg path(info.Env(), info[1], "readlinkat");
  if (!path.ok()) return info.Env().Undefined();
  char target[kPathBytes + 1];
  const ssize_t length = readlinkat(dirfd, path.c_str(), target, sizeof target);
  if (length < 0) return throw_errno(info.Env(), errno, "readlinkat", path.c_str());
  return Napi::Buffer<char>::Copy(info.Env(), target, static_cast<size_t>(length));
}

// Lists by a descriptor of its own, so that the caller's descriptor keeps its offset.
Napi::Value js_readdir(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  if (!ok) return info.Env().Undefined();
  int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // Opened by a process that may, for one that may not: then this open file has to do, which nobody else reads.
  if (fd < 0 && errno == EACCES) fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return throw_errno(info.Env(), errno, "readdir");
  DIR* dir = fdopendir(fd);
  if (dir == nullptr) {
    const int error = errno;
    close(fd);
    return throw_errno(info.Env(), error, "readdir");
  }
  rewinddir(dir);
  Napi::Array names = Napi::Array::New(info.Env());
  uint32_t count = 0;
  errno = 0;
  for (const struct dirent* entry = readdir(dir); entry != nullptr; entry = readdir(dir)) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
      Napi::Object row = Napi::Object::New(info.Env());
      row.Set("name", Napi::Buffer<char>::Copy(info.Env(), entry->d_name, strlen(entry->d_name)));
      row.Set("type", Napi::Number::New(info.Env(), DTTOIF(entry->d_type)));
      names.Set(count++, row);
    }
    errno = 0;
  }
  const int error = errno;
  closedir(dir);
  if (error != 0) return throw_errno(info.Env(), error, "readdir");
  return names;
}

}  // namespace

void init_fs_tree(Napi::Env env, Napi::Object exports) {
  exports.Set("mkdirat", Napi::Function::New<js_mkdirat>(env, "mkdirat"));
  exports.Set("mknodat", Napi::Function::New<js_mknodat>(env, "mknodat"));
  exports.Set("symlinkat", Napi::Function::New<js_symlinkat>(env, "symlinkat"));
  exports.Set("linkat", Napi::Function::New<js_linkat>(env, "linkat"));
  exports.Set("unlinkat", Napi::Function::New<js_unlinkat>(env, "unlinkat"));
  exports.Set("renameat2", Napi::Function::New<js_renameat2>(env, "renameat2"));
  exports.Set("readlinkat", Napi::Function::New<js_readlinkat>(env, "readlinkat"));
  exports.Set("readdir", Napi::Function::New<js_readdir>(env, "readdir"));
}

}  // namespace wherry
