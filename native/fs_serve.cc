// SPDX-License-Identifier: MIT
// Node's side of file_server.cc: one request and its reply, which block the thread.
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "addon_state.h"
#include "file_protocol.h"
#include "fs_ops.h"
#include "pass_fds.h"

namespace wherry {
namespace {

constexpr size_t kStatusFields = 16, kDescriptorField = 12, kMaxExtraBytes = 1024 * 1024;
constexpr uint32_t kMaxFds = kMaxFileFds;

struct Reply {
  int32_t error;
  uint32_t extra_size, content_size, has_descriptor;
  double status[kStatusFields];
};

bool send_request(int socket, Napi::Uint8Array bytes, const int* fds, uint32_t count) {
  iovec part = {bytes.Data(), bytes.ByteLength()};
  PassedFds<kMaxFds> passed;
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  passed.put(&header, fds, static_cast<int>(count));
  while (part.iov_len > 0) {
    const ssize_t n = sendmsg(socket, &header, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    part.iov_base = static_cast<uint8_t*>(part.iov_base) + n;
    part.iov_len -= static_cast<size_t>(n);
    header.msg_control = nullptr;
    header.msg_controllen = 0;
  }
  return true;
}

// Reads so many bytes. What ends before that has lost its other side.
bool read_bytes(int socket, void* target, size_t length, int* fd) {
  size_t filled = 0;
  while (filled < length) {
    iovec part = {static_cast<uint8_t*>(target) + filled, length - filled};
    PassedFds<1> passed;
    msghdr header = {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (fd != nullptr) passed.expect(&header);
    const ssize_t n = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EPIPE;
    if (n <= 0) return false;
    if (fd != nullptr && passed.take(&header, fd) < 0) {
      errno = EMFILE;
      return false;
    }
    filled += static_cast<size_t>(n);
  }
  return true;
}

bool fits(const Reply& reply, size_t room) { return reply.extra_size <= kMaxExtraBytes && reply.content_size <= room; }

// fileCall(socket, request, descriptors, status, bytes, start, end, name of the call) -> what the reply has besides.
Napi::Value js_file_call(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  bool ok = true;
  const int socket = static_cast<int>(int_arg(info, 0, &ok));
  const int64_t start = int_arg(info, 5, &ok);
  const int64_t end = int_arg(info, 6, &ok);
  if (!ok) return env.Undefined();
  if (!info[1].IsTypedArray() || !info[2].IsArray() || !info[3].IsTypedArray() || !info[4].IsTypedArray() ||
      !info[7].IsString()) {
    return throw_type(env, "fileCall(socket, request, descriptors, status, bytes, start, end, name)");
  }
  Napi::Float64Array status = info[3].As<Napi::Float64Array>();
  Napi::Uint8Array bytes = info[4].As<Napi::Uint8Array>();
  Napi::Array list = info[2].As<Napi::Array>();
  const auto room = static_cast<int64_t>(bytes.ByteLength());
  if (start < 0 || end < start || end > room || status.ElementLength() < kStatusFields || list.Length() > kMaxFds) {
    return throw_type(env, "fileCall: a range or a number of fields is wrong");
  }
  int fds[kMaxFds] = {};
  for (uint32_t i = 0; i < list.Length(); i++) fds[i] = static_cast<int>(number_of(env, list.Get(i)));
  const std::string name = info[7].As<Napi::String>().Utf8Value();

  Reply reply = {};
  int fd = -1;
  std::string extra;
  bool done = send_request(socket, info[1].As<Napi::Uint8Array>(), fds, list.Length()) &&
              read_bytes(socket, &reply, sizeof reply, &fd);
  if (done && !fits(reply, static_cast<size_t>(end - start))) {
    errno = EPROTO;
    done = false;
  }
  if (done) {
    extra.resize(reply.extra_size);
    done = read_bytes(socket, extra.data(), reply.extra_size, nullptr) &&
           read_bytes(socket, bytes.Data() + start, reply.content_size, nullptr);
  }
  if (!done || reply.error != 0) {
    const int error = done ? reply.error : errno;
    if (fd >= 0) close(fd);
    return throw_errno(env, error, done ? name.c_str() : "recvmsg");
  }
  memcpy(status.Data(), reply.status, sizeof reply.status);
  status[kDescriptorField] = fd < 0 ? -1 : own_descriptor(env, fd);
  return extra.empty() ? env.Undefined() : Napi::Buffer<char>::Copy(env, extra.data(), extra.size());
}

// fileSocket() -> [ours, theirs], which block.
Napi::Value js_file_socket(const Napi::CallbackInfo& info) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return throw_errno(info.Env(), errno, "socketpair");
  }
  Napi::Array result = Napi::Array::New(info.Env(), 2);
  for (uint32_t i = 0; i < 2; i++) result.Set(i, Napi::Number::New(info.Env(), own_descriptor(info.Env(), pair[i])));
  return result;
}

}  // namespace

void init_fs_serve(Napi::Env env, Napi::Object exports) {
  exports.Set("fileCall", Napi::Function::New<js_file_call>(env, "fileCall"));
  exports.Set("fileSocket", Napi::Function::New<js_file_socket>(env, "fileSocket"));
}

}  // namespace wherry
