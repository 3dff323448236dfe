// SPDX-License-Identifier: MIT
#include "fs_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

#include <cmath>
#include <string>

namespace wherry {
namespace {

struct ErrnoName {
  int error;
  const char* name;
};

#define WHERRY_ERRNO(name) \
  { name, #name }
constexpr ErrnoName kErrnoNames[] = {
    WHERRY_ERRNO(EPERM),        WHERRY_ERRNO(ENOENT),     WHERRY_ERRNO(EINTR),     WHERRY_ERRNO(EIO),
    WHERRY_ERRNO(ENXIO),        WHERRY_ERRNO(E2BIG),      WHERRY_ERRNO(EBADF),     WHERRY_ERRNO(EAGAIN),
    WHERRY_ERRNO(ENOMEM),       WHERRY_ERRNO(EACCES),     WHERRY_ERRNO(EFAULT),    WHERRY_ERRNO(EBUSY),
    WHERRY_ERRNO(EEXIST),       WHERRY_ERRNO(EXDEV),      WHERRY_ERRNO(ENODEV),    WHERRY_ERRNO(ENOTDIR),
    WHERRY_ERRNO(EISDIR),       WHERRY_ERRNO(EINVAL),     WHERRY_ERRNO(ENFILE),    WHERRY_ERRNO(EMFILE),
    WHERRY_ERRNO(ENOTTY),       WHERRY_ERRNO(ETXTBSY),    WHERRY_ERRNO(EFBIG),     WHERRY_ERRNO(ENOSPC),
    WHERRY_ERRNO(ESPIPE),       WHERRY_ERRNO(EROFS),      WHERRY_ERRNO(EMLINK),    WHERRY_ERRNO(EPIPE),
    WHERRY_ERRNO(ERANGE),       WHERRY_ERRNO(EDEADLK),    WHERRY_ERRNO(ENOLCK),    WHERRY_ERRNO(ENAMETOOLONG),
    WHERRY_ERRNO(ENOSYS),       WHERRY_ERRNO(ENOTEMPTY),  WHERRY_ERRNO(ELOOP),     WHERRY_ERRNO(ENODATA),
    WHERRY_ERRNO(EOVERFLOW),    WHERRY_ERRNO(EOPNOTSUPP), WHERRY_ERRNO(EDQUOT),    WHERRY_ERRNO(ESTALE),
    WHERRY_ERRNO(ECONNREFUSED), WHERRY_ERRNO(ETIMEDOUT),  WHERRY_ERRNO(ECONNRESET)};
#undef WHERRY_ERRNO

std::string errno_name(int error) {
  // The rest of the system calls it ENOTSUP; on Linux both have one number.
  if (error == ENOTSUP) return "ENOTSUP";
  for (const ErrnoName& known : kErrnoNames) {
    if (known.error == error) return known.name;
  }
  return "ERRNO_" + std::to_string(error);
}

Napi::Object constants(Napi::Env env) {
  Napi::Object table = Napi::Object::New(env);
  const struct {
    const char* name;
    double value;
  } kTable[] = {
      {"O_RDONLY", O_RDONLY},
      {"O_WRONLY", O_WRONLY},
      {"O_RDWR", O_RDWR},
      {"O_CREAT", O_CREAT},
      {"O_EXCL", O_EXCL},
      {"O_TRUNC", O_TRUNC},
      {"O_APPEND", O_APPEND},
      {"O_DIRECTORY", O_DIRECTORY},
      {"O_NOFOLLOW", O_NOFOLLOW},
      {"O_NONBLOCK", O_NONBLOCK},
      {"O_PATH", O_PATH},
      {"O_TMPFILE", O_TMPFILE},
      {"AT_FDCWD", AT_FDCWD},
      {"AT_SYMLINK_NOFOLLOW", AT_SYMLINK_NOFOLLOW},
      {"AT_SYMLINK_FOLLOW", AT_SYMLINK_FOLLOW},
      {"AT_EMPTY_PATH", AT_EMPTY_PATH},
      {"AT_REMOVEDIR", AT_REMOVEDIR},
      {"RESOLVE_NO_XDEV", RESOLVE_NO_XDEV},
      {"RESOLVE_NO_MAGICLINKS", RESOLVE_NO_MAGICLINKS},
      {"RESOLVE_NO_SYMLINKS", RESOLVE_NO_SYMLINKS},
      {"RESOLVE_BENEATH", RESOLVE_BENEATH},
      {"RESOLVE_IN_ROOT", RESOLVE_IN_ROOT},
      {"RENAME_NOREPLACE", 1},
      {"RENAME_EXCHANGE", 2},
      {"RENAME_WHITEOUT", 4},
      {"S_IFMT", S_IFMT},
      {"S_IFREG", S_IFREG},
      {"S_IFDIR", S_IFDIR},
      {"S_IFLNK", S_IFLNK},
      {"S_IFCHR", S_IFCHR},
      {"S_IFBLK", S_IFBLK},
      {"S_IFIFO", S_IFIFO},
      {"S_IFSOCK", S_IFSOCK},
  };
  for (const auto& row : kTable) table.Set(row.name, row.value);
  table.Freeze();
  return table;
}

}  // namespace

PathArg::PathArg(Napi::Env env, napi_value value, const char* syscall) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  size_t length = 0;
  if (type == napi_string) {
    napi_get_value_string_utf8(env, value, nullptr, 0, &length);
    if (length <= kPathBytes) napi_get_value_string_utf8(env, value, text_, sizeof text_, &length);
  } else {
    bool is_typed = false;
    napi_is_typedarray(env, value, &is_typed);
    napi_typedarray_type element = napi_float64_array;
    void* data = nullptr;
    if (is_typed) napi_get_typedarray_info(env, value, &element, &length, &data, nullptr, nullptr);
    if (element != napi_uint8_array) {
      throw_type(env, "a path must be a string or a Uint8Array");
      return;
    }
    if (length <= kPathBytes && length > 0) memcpy(text_, data, length);
  }
  if (length > kPathBytes) {
    throw_errno(env, ENAMETOOLONG, syscall);
    return;
  }
  text_[length] = '\0';
  if (memchr(text_, '\0', length) != nullptr) {
    throw_errno(env, EINVAL, syscall, text_);
    return;
  }
  ok_ = true;
}

Napi::Value throw_errno(Napi::Env env, int error, const char* syscall, const char* path) {
  const std::string code = errno_name(error);
  std::string message = code + ": " + strerror(error) + ", " + syscall;
  if (path != nullptr) message += std::string(" '") + path + "'";
  Napi::Error js_error = Napi::Error::New(env, message);
  Napi::Object fields = js_error.Value();
  fields.Set("code", code);
  fields.Set("errno", error);
  fields.Set("syscall", syscall);
  if (path != nullptr) fields.Set("path", path);
  js_error.ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value throw_type(Napi::Env env, const char* message) {
  Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
  return env.Undefined();
}

int64_t int_arg(const Napi::CallbackInfo& info, size_t index, bool* ok) {
  double number = NAN;
  if (!*ok) return -1;
  if (napi_get_value_double(info.Env(), info[index], &number) == napi_ok && std::trunc(number) == number &&
      std::fabs(number) <= 9007199254740991.0) {
    return static_cast<int64_t>(number);
  }
  *ok = false;
  const std::string message = "argument " + std::to_string(index) + " must be an integer";
  throw_type(info.Env(), message.c_str());
  return -1;
}

int64_t int_arg_or(const Napi::CallbackInfo& info, size_t index, int64_t fallback, bool* ok) {
  if (info.Length() <= index || info[index].IsUndefined()) return fallback;
  return int_arg(info, index, ok);
}

}  // namespace wherry

void init_fs_ops(Napi::Env env, Napi::Object exports) {
  exports.Set("fsConstants", wherry::constants(env));
  wherry::init_fs_open(env, exports);
  wherry::init_fs_tree(env, exports);
  wherry::init_fs_meta(env, exports);
  wherry::init_fs_xattr(env, exports);
  wherry::init_fs_io(env, exports);
  wherry::init_fs_file(env, exports);
  wherry::init_fs_pack(env, exports);
  wherry::init_fs_serve(env, exports);
}
