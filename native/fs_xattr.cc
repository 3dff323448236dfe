// SPDX-License-Identifier: MIT
// Extended attributes, by descriptor, or of one directory entry without following it.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include <string>
#include <vector>

#include "fs_ops.h"

namespace wherry {
namespace {

constexpr size_t kXattrValueBytes = 65536;  // the kernel's XATTR_SIZE_MAX and XATTR_LIST_MAX

// Where an attribute lives: an open file, or `name` in the directory `fd`, reached through /proc because the
// *xattrat calls exist only from kernel 6.13 on.
struct XattrPlace {
  int fd = -1;
  std::string path;
};

bool place_by_fd(const Napi::CallbackInfo& info, XattrPlace* place) {
  bool ok = true;
  place->fd = static_cast<int>(int_arg(info, 0, &ok));
  return ok;
}

bool place_by_name(const Napi::CallbackInfo& info, XattrPlace* place, const char* syscall) {
  bool ok = true;
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  if (!ok) return false;
  PathArg name(info.Env(), info[1], syscall);
  if (!name.ok()) return false;
  if (strchr(name.c_str(), '/') != nullptr || strcmp(name.c_str(), "..") == 0 || name.c_str()[0] == '\0') {
    throw_errno(info.Env(), EINVAL, syscall, name.c_str());
    return false;
  }
  place->path = "/proc/self/fd/" + std::to_string(dirfd) + "/" + name.c_str();
  return true;
}

Napi::Value set_value(const Napi::CallbackInfo& info, size_t at, const XattrPlace& place, const char* syscall) {
  bool ok = true;
  const int flags = static_cast<int>(int_arg_or(info, at + 2, 0, &ok));
  if (!ok) return info.Env().Undefined();
  PathArg name(info.Env(), info[at], syscall);
  if (!name.ok()) return info.Env().Undefined();
  if (!info[at + 1].IsTypedArray()) return throw_type(info.Env(), "an attribute's value must be a Uint8Array");
  const Napi::Uint8Array value = info[at + 1].As<Napi::Uint8Array>();
  const int result = place.path.empty()
                         ? fsetxattr(place.fd, name.c_str(), value.Data(), value.ByteLength(), flags)
                         : lsetxattr(place.path.c_str(), name.c_str(), value.Data(), value.ByteLength(), flags);
  return result == 0 ? info.Env().Undefined() : throw_errno(info.Env(), errno, syscall, name.c_str());
}

Napi::Value get_value(const Napi::CallbackInfo& info, size_t at, const XattrPlace& place, const char* syscall) {
  PathArg name(info.Env(), info[at], syscall);
  if (!name.ok()) return info.Env().Undefined();
  std::vector<char> value(kXattrValueBytes);
  const ssize_t length = place.path.empty() ? fgetxattr(place.fd, name.c_str(), value.data(), value.size())
                                            : lgetxattr(place.path.c_str(), name.c_str(), value.data(), value.size());
  if (length < 0 && errno == ENODATA) return info.Env().Undefined();
  if (length < 0) return throw_errno(info.Env(), errno, syscall, name.c_str());
  return Napi::Buffer<char>::Copy(info.Env(), value.data(), static_cast<size_t>(length));
}

Napi::Value list_names(const Napi::CallbackInfo& info, const XattrPlace& place, const char* syscall) {
  std::vector<char> names(kXattrValueBytes);
  const ssize_t length = place.path.empty() ? flistxattr(place.fd, names.data(), names.size())
                                            : llistxattr(place.path.c_str(), names.data(), names.size());
  if (length < 0) return throw_errno(info.Env(), errno, syscall);
  Napi::Array list = Napi::Array::New(info.Env());
  uint32_t count = 0;
  for (const char* name = names.data(); name < names.data() + length; name += strlen(name) + 1) {
    list.Set(count++, name);
  }
  return list;
}

Napi::Value js_fsetxattr(const Napi::CallbackInfo& info) {
  XattrPlace place;
  return place_by_fd(info, &place) ? set_value(info, 1, place, "fsetxattr") : info.Env().Undefined();
}

Napi::Value js_lsetxattrat(const Napi::CallbackInfo& info) {
  XattrPlace place;
  return place_by_name(info, &place, "lsetxattr") ? set_value(info, 2, place, "lsetxattr") : info.Env().Undefined();
}

Napi::Value js_fgetxattr(const Napi::CallbackInfo& info) {
  XattrPlace place;
  return place_by_fd(info, &place) ? get_value(info, 1, place, "fgetxattr") : info.Env().Undefined();
}

Napi::Value js_lgetxattrat(const Napi::CallbackInfo& info) {
  XattrPlace place;
  return place_by_name(info, &place, "lgetxattr") ? get_value(info, 2, place, "lgetxattr") : info.Env().Undefined();
}

Napi::Value js_flistxattr(const Napi::CallbackInfo& info) {
  XattrPlace place;
  return place_by_fd(info, &place) ? list_names(info, place, "flistxattr") : info.Env().Undefined();
}

Napi::Value js_llistxattrat(const Napi::CallbackInfo& info) {
  XattrPlace place;
  return place_by_name(info, &place, "llistxattr") ? list_names(info, place, "llistxattr") : info.Env().Undefined();
}

Napi::Value js_fremovexattr(const Napi::CallbackInfo& info) {
  XattrPlace place;
  if (!place_by_fd(info, &place)) return info.Env().Undefined();
  PathArg name(info.Env(), info[1], "fremovexattr");
  if (!name.ok()) return info.Env().Undefined();
  if (fremovexattr(place.fd, name.c_str()) != 0) {
    return throw_errno(info.Env(), errno, "fremovexattr", name.c_str());
  }
  return info.Env().Undefined();
}

}  // namespace

void init_fs_xattr(Napi::Env env, Napi::Object exports) {
  exports.Set("fsetxattr", Napi::Function::New<js_fsetxattr>(env, "fsetxattr"));
  exports.Set("lsetxattrat", Napi::Function::New<js_lsetxattrat>(env, "lsetxattrat"));
  exports.Set("fgetxattr", Napi::Function::New<js_fgetxattr>(env, "fgetxattr"));
  exports.Set("lgetxattrat", Napi::Function::New<js_lgetxattrat>(env, "lgetxattrat"));
  exports.Set("flistxattr", Napi::Function::New<js_flistxattr>(env, "flistxattr"));
  exports.Set("llistxattrat", Napi::Function::New<js_llistxattrat>(env, "llistxattrat"));
  exports.Set("fremovexattr", Napi::Function::New<js_fremovexattr>(env, "fremovexattr"));
}

}  // namespace wherry
