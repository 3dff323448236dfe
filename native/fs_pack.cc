// SPDX-License-Identifier: MIT
// All system calls that one entry of a directory takes on its way into an archive, in one call from JavaScript.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "addon_state.h"
#include "fs_ops.h"

namespace wherry {
namespace {

constexpr size_t kXattrBytes = 65536;           // the kernel's XATTR_SIZE_MAX and XATTR_LIST_MAX
constexpr size_t kMaxExtraBytes = 1024 * 1024;  // what our own reader of archives takes before one entry

// Where readEntry puts numbers; lib/launcher/fs-native.ts has the same list.
enum StatusField {
  kMode,
  kUid,
  kGid,
  kSize,
  kSeconds,
  kNanoseconds,
  kDevice,
  kInodeHigh,
  kInodeLow,
  kLinks,
  kMajor,
  kMinor,
  kDescriptor,
  kBytesRead,
  kTargetLength,
  kIsMount,
  kStatusFields,
};

class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() { reset(-1); }
  int get() const { return fd_; }
  void reset(int fd) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

struct Name {
  std::string text;
  bool is_directory;
};

// As the paths in an archive compare, where a directory's name ends in a slash.
bool comes_before(const Name& a, const Name& b) {
  const size_t common = std::min(a.text.size(), b.text.size());
  const int order = memcmp(a.text.data(), b.text.data(), common);
  if (order != 0) return order < 0;
  const auto at_end = [common](const Name& name) {
    if (name.text.size() > common) return static_cast<int>(static_cast<unsigned char>(name.text[common]));
    return name.is_directory ? static_cast<int>('/') : -1;
  };
  return at_end(a) < at_end(b);
}

bool is_directory(int dirfd, const struct dirent* entry) {
  if (entry->d_type != DT_UNKNOWN) return entry->d_type == DT_DIR;
  struct stat here = {};
  return fstatat(dirfd, entry->d_name, &here, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(here.st_mode);
}

// Returns 0 or an errno; E2BIG when the names take more than `max_bytes`.
int read_names(int dirfd, size_t max_bytes, std::vector<Name>* names, size_t* total) {
  int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // Opened by a process that may, for one that may not: then this open file has to do, which nobody else reads.
  if (fd < 0 && errno == EACCES) fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return errno;
  DIR* dir = fdopendir(fd);
  if (dir == nullptr) {
    const int error = errno;
    close(fd);
    return error;
  }
  rewinddir(dir);
  int error = 0;
  errno = 0;
  for (const struct dirent* entry = readdir(dir); entry != nullptr && error == 0; entry = readdir(dir)) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
      names->push_back({entry->d_name, is_directory(dirfd, entry)});
      *total += 2 + names->back().text.size();
      if (*total > max_bytes) error = E2BIG;
    }
    errno = 0;
  }
  if (error == 0) error = errno;
  closedir(dir);
  return error;
}

// listNames(dirfd, maxBytes) -> records of one byte (1: a directory), one byte of length less one, the name.
Napi::Value js_list_names(const Napi::CallbackInfo& info) {
  bool ok = true;
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  const int64_t max_bytes = int_arg(info, 1, &ok);
  if (!ok) return info.Env().Undefined();
  std::vector<Name> names;
  size_t total = 0;
  const int error = read_names(dirfd, static_cast<size_t>(max_bytes), &names, &total);
  if (error != 0) return throw_errno(info.Env(), error, "readdir");
  std::sort(names.begin(), names.end(), comes_before);
  Napi::Buffer<uint8_t> packed = Napi::Buffer<uint8_t>::New(info.Env(), total);
  uint8_t* at = packed.Data();
  for (const Name& name : names) {
    *at++ = name.is_directory ? 1 : 0;
    *at++ = static_cast<uint8_t>(name.text.size() - 1);  // NAME_MAX is 255
    memcpy(at, name.text.data(), name.text.size());
    at += name.text.size();
  }
  return packed;
}

// The attributes of an open file, or of what an O_PATH descriptor stands for, which takes the way through /proc.
class Xattrs {
 public:
  explicit Xattrs(int fd, bool is_path_only) : fd_(fd) {
    if (is_path_only) snprintf(path_, sizeof path_, "/proc/self/fd/%d", fd);
  }

  // Adds records to `out`: length (2 bytes) and name, length (4 bytes) and value. Returns 0 or an errno.
  int append_to(std::string* out) const {
    std::unique_ptr<char[]> names(new char[kXattrBytes]);
    const ssize_t length =
        path_[0] == '\0' ? flistxattr(fd_, names.get(), kXattrBytes) : listxattr(path_, names.get(), kXattrBytes);
    if (length < 0) return errno == ENOTSUP ? 0 : errno;
    if (length == 0) return 0;
    std::unique_ptr<char[]> value(new char[kXattrBytes]);
    for (const char* name = names.get(); name < names.get() + length; name += strlen(name) + 1) {
      const ssize_t bytes = path_[0] == '\0' ? fgetxattr(fd_, name, value.get(), kXattrBytes)
                                             : getxattr(path_, name, value.get(), kXattrBytes);
      // Removed since the list was made; or one that the list shows and nobody may read.
      if (bytes < 0 && (errno == ENODATA || errno == ENOTSUP || errno == EPERM)) continue;
      if (bytes < 0) return errno;
      append_number(out, strlen(name), 2);
      out->append(name);
      append_number(out, static_cast<size_t>(bytes), 4);
      out->append(value.get(), static_cast<size_t>(bytes));
      if (out->size() > kMaxExtraBytes) return E2BIG;
    }
    return 0;
  }

 private:
  static void append_number(std::string* out, size_t number, int bytes) {
    for (int i = 0; i < bytes; i++) out->push_back(static_cast<char>((number >> (8 * i)) & 0xff));
  }

  int fd_;
  char path_[40] = "";
};

// Reads until `length` bytes are there or the file ends. Returns the count, or -1 with errno set.
ssize_t read_all(int fd, uint8_t* target, size_t length) {
  size_t filled = 0;
  while (filled < length) {
    const ssize_t bytes = read(fd, target + filled, length - filled);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) return -1;
    if (bytes == 0) break;
    filled += static_cast<size_t>(bytes);
  }
  return static_cast<ssize_t>(filled);
}

void put_status(const struct stat& here, double* status) {
  status[kMode] = here.st_mode;
  status[kUid] = here.st_uid;
  status[kGid] = here.st_gid;
  status[kSize] = static_cast<double>(here.st_size);
  status[kSeconds] = static_cast<double>(here.st_mtim.tv_sec);
  status[kNanoseconds] = static_cast<double>(here.st_mtim.tv_nsec);
  status[kDevice] = static_cast<double>(here.st_dev);
  // In two: a number of JavaScript holds 53 bits.
  status[kInodeHigh] = static_cast<double>(static_cast<uint64_t>(here.st_ino) >> 32);
  status[kInodeLow] = static_cast<double>(static_cast<uint64_t>(here.st_ino) & 0xffffffff);
  status[kLinks] = static_cast<double>(here.st_nlink);
  status[kMajor] = major(here.st_rdev);
  status[kMinor] = minor(here.st_rdev);
  status[kDescriptor] = -1;
  status[kBytesRead] = 0;
  status[kTargetLength] = 0;
}

// A descriptor that names the entry and nothing else: nothing is opened, so that no device or FIFO notices, and what
// is learnt by it is all of one thing, whatever is renamed meanwhile.
int open_path(int dirfd, const char* path, double* status) {
  const int flags = O_PATH | O_NOFOLLOW;
  const unsigned long long resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  const int fd = open_beneath(dirfd, path, flags, 0, resolve | RESOLVE_NO_XDEV);
  status[kIsMount] = fd == -EXDEV ? 1 : 0;
  return fd == -EXDEV ? open_beneath(dirfd, path, flags, 0, resolve) : fd;
}

struct Span {
  uint8_t* data = nullptr;
  size_t length = 0;
};

// Returns the call that failed, with errno set, or nullptr.
const char* read_regular(OwnedFd* path, double* status, const Span& room, std::string* extra) {
  char link[40];
  snprintf(link, sizeof link, "/proc/self/fd/%d", path->get());
  OwnedFd file(open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (file.get() < 0) return "open";
  errno = Xattrs(file.get(), false).append_to(extra);
  if (errno != 0) return "fgetxattr";
  if (status[kSize] > static_cast<double>(room.length)) {
    status[kDescriptor] = file.release();
    return nullptr;
  }
  const ssize_t bytes = read_all(file.get(), room.data, static_cast<size_t>(status[kSize]));
  if (bytes < 0) return "read";
  status[kBytesRead] = static_cast<double>(bytes);
  return nullptr;
}

const char* read_directory(OwnedFd* path, double* status, std::string* extra) {
  OwnedFd dir(openat(path->get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() < 0) return "openat";
  errno = Xattrs(dir.get(), false).append_to(extra);
  if (errno != 0) return "fgetxattr";
  status[kDescriptor] = dir.release();
  return nullptr;
}

const char* read_other(OwnedFd* path, bool is_link, double* status, std::string* extra) {
  if (is_link) {
    char target[kPathBytes + 1];
    const ssize_t length = readlinkat(path->get(), "", target, sizeof target);
    if (length < 0) return "readlinkat";
    status[kTargetLength] = static_cast<double>(length);
    extra->append(target, static_cast<size_t>(length));
  }
  errno = Xattrs(path->get(), true).append_to(extra);
  return errno == 0 ? nullptr : "getxattr";
}

bool span_arg(const Napi::CallbackInfo& info, size_t at, Span* span) {
  bool ok = true;
  const int64_t start = int_arg(info, at + 1, &ok);
  const int64_t end = int_arg(info, at + 2, &ok);
  if (!ok) return false;
  if (!info[at].IsTypedArray() || info[at].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw_type(info.Env(), "bytes must be a Uint8Array");
    return false;
  }
  Napi::Uint8Array bytes = info[at].As<Napi::Uint8Array>();
  if (start < 0 || end < start || end > static_cast<int64_t>(bytes.ByteLength())) {
    throw_type(info.Env(), "start and end must lie within the bytes");
    return false;
  }
  span->data = bytes.Data() + start;
  span->length = static_cast<size_t>(end - start);
  return true;
}

double* status_arg(const Napi::CallbackInfo& info, size_t at) {
  if (info[at].IsTypedArray() && info[at].As<Napi::TypedArray>().TypedArrayType() == napi_float64_array) {
    Napi::Float64Array status = info[at].As<Napi::Float64Array>();
    if (status.ElementLength() >= kStatusFields) return status.Data();
  }
  throw_type(info.Env(), "status must be a Float64Array with room for all fields");
  return nullptr;
}

// readEntry(dirfd, path, status, bytes, start, end)
Napi::Value js_read_entry(const Napi::CallbackInfo& info) {
  bool ok = true;
  Span room;
  const int dirfd = static_cast<int>(int_arg(info, 0, &ok));
  if (!ok) return info.Env().Undefined();
  double* status = status_arg(info, 2);
  if (status == nullptr || !span_arg(info, 3, &room)) return info.Env().Undefined();
  PathArg name(info.Env(), info[1], "openat2");
  if (!name.ok()) return info.Env().Undefined();

  const int fd = open_path(dirfd, name.c_str(), status);
  if (fd == -ENOENT || fd == -ENOTDIR) return info.Env().Null();
  if (fd < 0) return throw_errno(info.Env(), -fd, "openat2", name.c_str());
  OwnedFd path(fd);
  struct stat here = {};
  if (fstat(fd, &here) != 0) return throw_errno(info.Env(), errno, "fstat", name.c_str());
  put_status(here, status);
  std::string extra;
  const char* failed = S_ISREG(here.st_mode)   ? read_regular(&path, status, room, &extra)
                       : S_ISDIR(here.st_mode) ? read_directory(&path, status, &extra)
                                               : read_other(&path, S_ISLNK(here.st_mode), status, &extra);
  if (failed != nullptr) return throw_errno(info.Env(), errno, failed, name.c_str());
  if (status[kDescriptor] >= 0) own_descriptor(info.Env(), static_cast<int>(status[kDescriptor]));
  if (extra.empty()) return info.Env().Undefined();
  return Napi::Buffer<char>::Copy(info.Env(), extra.data(), extra.size());
}

// read(fd, bytes, start, end) -> bytes read; fewer than asked for at the end of the file only.
Napi::Value js_read(const Napi::CallbackInfo& info) {
  bool ok = true;
  Span span;
  const int fd = static_cast<int>(int_arg(info, 0, &ok));
  if (!ok || !span_arg(info, 1, &span)) return info.Env().Undefined();
  const ssize_t bytes = read_all(fd, span.data, span.length);
  if (bytes < 0) return throw_errno(info.Env(), errno, "read");
  return Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

}  // namespace

void init_fs_pack(Napi::Env env, Napi::Object exports) {
  exports.Set("listNames", Napi::Function::New<js_list_names>(env, "listNames"));
  exports.Set("readEntry", Napi::Function::New<js_read_entry>(env, "readEntry"));
  exports.Set("read", Napi::Function::New<js_read>(env, "read"));
}

}  // namespace wherry
