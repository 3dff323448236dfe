// SPDX-License-Identifier: MIT
// Mode, owner, times and status of files.
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs_ops.h"

namespace wherry {
namespace {

constexpr int64_t kNanosPerSecond = 1000000000;

Napi::Value js_fchmod(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int fd = static_cast<int>(int_arg(info, 0, &ok));
  const mode_t mode = static_cast<mode_t>(int_arg(info, 1, &ok));
  if (!ok) return info.Env().Undefined();
  if (fchmod(fd, mode) != 0) return throw_errno(info.Env(), errno, "fchmod");
  return info.Env().Undefined();
}

Napi::Value js_fchmodat(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  const mode_t mode = static_cast<mode_t>(int_arg(info, 2, &ok));
  const int flags = static_cast<int>(int_arg_or(info, 3, 0, &ok));
  if (!ok) return info.Env().Undefined();
  PathArg path(info.Env(), info[1], "fchmodat");
  if (!path.ok()) return info.Env().Undefined();
  if (fchmodat(dirfd, path.c_str(), mode, flags) != 0) {
    return throw_errno(info.Env(), errno, "fchmodat", path.c_str());
  }
  return info.Env().Undefined();
}

Napi::Value js_fchownat(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  const uid_t uid = static_cast<uid_t>(int_arg(info, 2, &ok));
  const gid_t gid = static_cast<gid_t>(int_arg(info, 3, &ok));
  const int flags = static_cast<int>(int_arg_or(info, 4, 0, &ok));
  if (!ok) return info.Env().Undefined();
  PathArg path(info.Env(), info[1], "fchownat");
  if (!path.ok()) return info.Env().Undefined();
  if (fchownat(dirfd, path.c_str(), uid, gid, flags) != 0) {
    return throw_errno(info.Env(), errno, "fchownat", path.c_str());
  }
  return info.Env().Undefined();
}

Napi::Value js_fchown(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int fd = static_cast<int>(int_arg(info, 0, &ok));
  const uid_t uid = static_cast<uid_t>(int_arg(info, 1, &ok));
  const gid_t gid = static_cast<gid_t>(int_arg(info, 2, &ok));
  if (!ok) return info.Env().Undefined();
  if (fchown(fd, uid, gid) != 0) return throw_errno(info.Env(), errno, "fchown");
  return info.Env().Undefined();
}

// A time is nanoseconds as a bigint, [seconds, nanoseconds], or null for "leave it".
bool read_time(Napi::Value value, struct timespec* time) {
  if (value.IsNull()) {
    time->tv_sec = 0;
    time->tv_nsec = UTIME_OMIT;
    return true;
  }
  if (value.IsArray()) {
    const Napi::Array pair = value.As<Napi::Array>();
    const Napi::Value seconds = pair.Get(0u);
    const Napi::Value nanos = pair.Get(1u);
    if (!seconds.IsNumber() || !nanos.IsNumber()) return false;
    time->tv_sec = seconds.As<Napi::Number>().Int64Value();
    time->tv_nsec = static_cast<long>(nanos.As<Napi::Number>().Int64Value());
    return time->tv_nsec >= 0 && time->tv_nsec < kNanosPerSecond;
  }
  if (!value.IsBigInt()) return false;
  bool lossless = false;
  const int64_t total = value.As<Napi::BigInt>().Int64Value(&lossless);
  time->tv_sec = total / kNanosPerSecond;
  time->tv_nsec = static_cast<long>(total % kNanosPerSecond);
  if (time->tv_nsec < 0) {
    time->tv_sec -= 1;
    time->tv_nsec += kNanosPerSecond;
  }
  return lossless;
}

bool times_arg(const Napi::CallbackInfo& info, size_t index, struct timespec times[2]) {
  if (read_time(info[index], &times[0]) && read_time(info[index + 1], &times[1])) return true;
  throw_type(info.Env(), "a time must be a bigint of nanoseconds, [seconds, nanoseconds] or null");
  return false;
}

Napi::Value js_utimensat(const Napi::CallbackInfo& info) {
  bool ok = true;
  struct timespec times[2];
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  const int flags = static_cast<int>(int_arg_or(info, 4, 0, &ok));
  if (!ok || !times_arg(info, 2, times)) return info.Env().Undefined();
  PathArg path(info.Env(), info[1], "utimensat");
  if (!path.ok()) return info.Env().Undefined();
  if (utimensat(dirfd, path.c_str(), times, flags) != 0) {
    return throw_errno(info.Env(), errno, "utimensat", path.c_str());
  }
  return info.Env().Undefined();
}

Napi::Value js_futimens(const Napi::CallbackInfo& info) {
  bool ok = true;
  struct timespec times[2];
  const int fd = static_cast<int>(int_arg(info, 0, &ok));
  if (!ok || !times_arg(info, 1, times)) return info.Env().Undefined();
  if (futimens(fd, times) != 0) return throw_errno(info.Env(), errno, "futimens");
  return info.Env().Undefined();
}

Napi::Array time_pair(Napi::Env env, const struct timespec& time) {
  Napi::Array pair = Napi::Array::New(env, 2);
  pair.Set(0u, static_cast<double>(time.tv_sec));
  pair.Set(1u, static_cast<double>(time.tv_nsec));
  return pair;
}

Napi::Value js_fstatat(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  const int flags = static_cast<int>(int_arg_or(info, 2, 0, &ok));
  if (!ok) return info.Env().Undefined();
  PathArg path(info.Env(), info[1], "fstatat");
  if (!path.ok()) return info.Env().Undefined();
  struct stat here = {};
  if (fstatat(dirfd, path.c_str(), &here, flags) != 0) {
    return throw_errno(info.Env(), errno, "fstatat", path.c_str());
  }
  Napi::Object row = Napi::Object::New(info.Env());
  row.Set("dev", static_cast<double>(here.st_dev));
  row.Set("ino", Napi::BigInt::New(info.Env(), static_cast<uint64_t>(here.st_ino)));
  row.Set("mode", static_cast<double>(here.st_mode));
  row.Set("nlink", static_cast<double>(here.st_nlink));
  row.Set("uid", static_cast<double>(here.st_uid));
  row.Set("gid", static_cast<double>(here.st_gid));
  row.Set("sizeBytes", static_cast<double>(here.st_size));
  row.Set("blocks", static_cast<double>(here.st_blocks));
  row.Set("rdevMajor", static_cast<double>(major(here.st_rdev)));
  row.Set("rdevMinor", static_cast<double>(minor(here.st_rdev)));
  row.Set("mtime", time_pair(info.Env(), here.st_mtim));
  row.Set("ctime", time_pair(info.Env(), here.st_ctim));
  return row;
}

Napi::Value js_fstatfs_type(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int fd = static_cast<int>(int_arg(info, 0, &ok));
  if (!ok) return info.Env().Undefined();
  struct statfs here = {};
  if (fstatfs(fd, &here) != 0) return throw_errno(info.Env(), errno, "fstatfs");
  // Magic numbers are 32-bit; some platforms declare the field signed.
  return Napi::Number::New(info.Env(), static_cast<double>(static_cast<uint32_t>(here.f_type)));
}

}  // namespace

void init_fs_meta(Napi::Env env, Napi::Object exports) {
  exports.Set("fchmod", Napi::Function::New<js_fchmod>(env, "fchmod"));
  exports.Set("fchmodat", Napi::Function::New<js_fchmodat>(env, "fchmodat"));
  exports.Set("fchown", Napi::Function::New<js_fchown>(env, "fchown"));
  exports.Set("fchownat", Napi::Function::New<js_fchownat>(env, "fchownat"));
  exports.Set("futimens", Napi::Function::New<js_futimens>(env, "futimens"));
  exports.Set("utimensat", Napi::Function::New<js_utimensat>(env, "utimensat"));
  exports.Set("fstatat", Napi::Function::New<js_fstatat>(env, "fstatat"));
  exports.Set("fstatfsType", Napi::Function::New<js_fstatfs_type>(env, "fstatfsType"));
}

}  // namespace wherry
