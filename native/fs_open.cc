// SPDX-License-Identifier: MIT
// openat2, and the component-wise walk that stands in for it where the kernel has none.
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "addon_state.h"
#include "fs_ops.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

namespace wherry {
namespace {

constexpr int kMaxSymlinks = 40;

// The walk keeps one descriptor per level, so that `..` goes back to a directory that was really visited
// and no rename made meanwhile can lead above the start.
class Walk {
 public:
  Walk(int dirfd, unsigned long long resolve) : start_(dirfd), resolve_(resolve) {}
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;
  ~Walk() { reset(); }

  int open(const char* path, int flags, unsigned mode);

 private:
  int top() const { return levels_.empty() ? start_ : levels_.back(); }
  void reset() {
    for (int fd : levels_) close(fd);
    levels_.clear();
  }
  int step_up();
  int step_into(const std::string& name, std::string* rest);
  int follow(const std::string& name, std::string* rest);
  int open_last(const std::string& name, int flags, unsigned mode, std::string* rest, bool* again);
  int check_device(int fd) const;

  int start_;
  unsigned long long resolve_;
  std::vector<int> levels_;
  int links_ = 0;
};

int Walk::step_up() {
  if (!levels_.empty()) {
    close(levels_.back());
    levels_.pop_back();
    return 0;
  }
  return (resolve_ & RESOLVE_IN_ROOT) != 0 ? 0 : -EXDEV;
}

int Walk::check_device(int fd) const {
  if ((resolve_ & RESOLVE_NO_XDEV) == 0) return 0;
  struct stat start = {};
  struct stat here = {};
  if (fstatat(start_, "", &start, AT_EMPTY_PATH) != 0 || fstatat(fd, "", &here, AT_EMPTY_PATH) != 0) return -errno;
  return start.st_dev == here.st_dev ? 0 : -EXDEV;
}

// Puts the target of link `name` in front of what is still to be walked.
int Walk::follow(const std::string& name, std::string* rest) {
  if ((resolve_ & RESOLVE_NO_SYMLINKS) != 0 || ++links_ > kMaxSymlinks) return -ELOOP;
  char target[kPathBytes];
  const ssize_t length = readlinkat(top(), name.c_str(), target, sizeof target);
  if (length < 0) return -errno;
  if (length == 0 || length == static_cast<ssize_t>(sizeof target)) return length == 0 ? -ENOENT : -ENAMETOOLONG;
  if (target[0] == '/') {
    if ((resolve_ & RESOLVE_IN_ROOT) == 0) return -EXDEV;
    reset();
  }
  *rest = std::string(target, static_cast<size_t>(length)) + (rest->empty() ? "" : "/" + *rest);
  return rest->size() > kPathBytes * 2 ? -ENAMETOOLONG : 0;
}

int Walk::step_into(const std::string& name, std::string* rest) {
  const int fd = openat(top(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  struct stat here = {};
  int error = fstat(fd, &here) == 0 ? 0 : -errno;
  if (error == 0 && S_ISLNK(here.st_mode)) {
    close(fd);
    return follow(name, rest);
  }
  if (error == 0 && !S_ISDIR(here.st_mode)) error = -ENOTDIR;
  if (error == 0) error = check_device(fd);
  if (error != 0) {
    close(fd);
    return error;
  }
  levels_.push_back(fd);
  return 0;
}

int Walk::open_last(const std::string& name, int flags, unsigned mode, std::string* rest, bool* again) {
  const bool stay = (flags & O_NOFOLLOW) != 0 || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
  if (!stay) {
    struct stat here = {};
    if (fstatat(top(), name.c_str(), &here, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(here.st_mode)) {
      *again = true;
      return follow(name, rest);
    }
  }
  // O_NOFOLLOW also when the caller did not ask: a link put here since the look above must not be followed.
  const int fd = openat(top(), name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode);
  if (fd < 0) return -errno;
  const int error = check_device(fd);
  if (error == 0) return fd;
  close(fd);
  return error;
}

int Walk::open(const char* path, int flags, unsigned mode) {
  std::string rest = path;
  if (rest.empty()) return -ENOENT;
  if (rest[0] == '/' && (resolve_ & RESOLVE_IN_ROOT) == 0) return -EXDEV;
  for (;;) {
    const size_t begin = rest.find_first_not_of('/');
    bool again = false;
    if (begin == std::string::npos) return open_last(".", flags, mode, &rest, &again);
    const size_t end = rest.find('/', begin);
    const std::string name = rest.substr(begin, end == std::string::npos ? end : end - begin);
    const bool last = end == std::string::npos;
    rest = last ? "" : rest.substr(end + 1);
    if (name == ".." || name == ".") {
      const int error = name == ".." ? step_up() : 0;
      if (error != 0) return error;
      if (rest.empty()) rest = "/";
      continue;
    }
    const int result = last ? open_last(name, flags, mode, &rest, &again) : step_into(name, &rest);
    if (result < 0 || (last && !again)) return result;
    if (rest.empty()) rest = "/";
  }
}

long number_field(Napi::Object options, const char* name, bool* ok) {
  const Napi::Value value = options.Get(name);
  if (value.IsUndefined()) return 0;
  if (!value.IsNumber()) {
    *ok = false;
    throw_type(options.Env(), "flags, mode and resolve must be numbers");
    return 0;
  }
  return static_cast<long>(value.As<Napi::Number>().Int64Value());
}

// Context: any thread of Node that loaded the addon.
Napi::Value js_openat2(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  if (!ok) return info.Env().Undefined();
  PathArg path(info.Env(), info[1], "openat2");
  if (!path.ok()) return info.Env().Undefined();
  if (!info[2].IsObject()) return throw_type(info.Env(), "openat2 needs an options object");
  const Napi::Object options = info[2].As<Napi::Object>();
  struct open_how how = {};
  how.flags = static_cast<unsigned long>(number_field(options, "flags", &ok)) | O_CLOEXEC;
  how.mode = static_cast<unsigned long>(number_field(options, "mode", &ok));
  how.resolve = static_cast<unsigned long>(number_field(options, "resolve", &ok));
  if (!ok) return info.Env().Undefined();
  const bool fallback = bool_field(options, "forceFallback");

  const int flags = static_cast<int>(how.flags);
  const unsigned mode = static_cast<unsigned>(how.mode);
  const int fd = fallback ? open_component_wise(dirfd, path.c_str(), flags, mode, how.resolve)
                          : open_beneath(dirfd, path.c_str(), flags, mode, how.resolve);
  if (fd < 0) return throw_errno(info.Env(), -fd, "openat2", path.c_str());
  return Napi::Number::New(info.Env(), own_descriptor(info.Env(), fd));
}

}  // namespace

int open_beneath(int dirfd, const char* path, int flags, unsigned mode, unsigned long long resolve) {
  struct open_how how = {};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = resolve;
  int fd = -ENOSYS;
  // EAGAIN: a rename somewhere on the system raced with a `..` of ours; the kernel asks to try again.
  for (int attempt = 0; attempt < 64; attempt++) {
    fd = static_cast<int>(syscall(SYS_openat2, dirfd, path, &how, sizeof how));
    if (fd < 0) fd = -errno;
    if (fd != -EAGAIN && fd != -EINTR) break;
  }
  return fd == -ENOSYS ? open_component_wise(dirfd, path, flags | O_CLOEXEC, mode, resolve) : fd;
}

int open_component_wise(int dirfd, const char* path, int flags, unsigned mode, unsigned long long resolve) {
  if ((resolve & (RESOLVE_IN_ROOT | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)) == 0) {
    int fd;
    do {
      fd = openat(dirfd, path, flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
  }
  // Without a root to stay in, an absolute or upward path is an ordinary one; the walk cannot express that.
  if ((resolve & (RESOLVE_IN_ROOT | RESOLVE_BENEATH)) == 0) resolve |= RESOLVE_BENEATH;
  return Walk(dirfd, resolve).open(path, flags, mode);
}

void init_fs_open(Napi::Env env, Napi::Object exports) {
  exports.Set("openat2", Napi::Function::New<js_openat2>(env, "openat2"));
}

}  // namespace wherry
