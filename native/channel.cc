// SPDX-License-Identifier: MIT
#include "channel.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "addon_state.h"
#include "pass_fds.h"
#include "protocol.h"

namespace wherry {
namespace {

constexpr int kMessagesPerTurn = 64;
constexpr size_t kMaxMessage = 4096;

}  // namespace

void Channel::init(Napi::Env env, Napi::Object exports) {
  exports.Set("Channel", DefineClass(env, "Channel",
                                     {InstanceMethod<&Channel::send>("send"), InstanceMethod<&Channel::close>("close"),
                                      InstanceMethod<&Channel::end>("end"), InstanceMethod<&Channel::ref>("ref"),
                                      InstanceMethod<&Channel::unref>("unref"),
                                      InstanceAccessor<&Channel::was_reset>("wasReset")}));
}

Channel::Channel(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Napi::Env env = info.Env();
  // A worker that is being terminated wraps nothing any more: what follows would end the whole process.
  if (IsEmpty()) return;
  if (info.Length() < 2 || !info[0].IsNumber() || !info[1].IsFunction()) {
    Napi::TypeError::New(env, "Channel(fd, callback)").ThrowAsJavaScriptException();
    return;
  }
  int fd = info[0].As<Napi::Number>().Int32Value();
  if (!PollHandle::open(
          env, fd, [this] { on_readable(); }, &poll_)) {
    system_error(env, errno, "epoll_ctl").ThrowAsJavaScriptException();
    return;
  }
  fd_ = disown_descriptor(env, fd);
  callback_ = Napi::Persistent(info[1].As<Napi::Function>());
  context_ = std::make_unique<Napi::AsyncContext>(env, "WherryChannel");
  // The object must live as long as libuv may call it: shut() drops this reference.
  Ref();
}

Channel::~Channel() {
  if (poll_ != nullptr) poll_->close();
}

void Channel::shut() {
  if (poll_ == nullptr) return;
  poll_->close();
  fd_ = -1;
  callback_.Reset();
  Unref();
}

void Channel::send(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!info[0].IsTypedArray() || !info[1].IsArray()) {
    Napi::TypeError::New(env, "send(bytes, fds)").ThrowAsJavaScriptException();
    return;
  }
  auto bytes = info[0].As<Napi::Uint8Array>();
  auto list = info[1].As<Napi::Array>();
  int count = static_cast<int>(list.Length());
  if (fd_ < 0 || count > kMaxRequestFds) {
    system_error(env, fd_ < 0 ? EPIPE : E2BIG, "sendmsg").ThrowAsJavaScriptException();
    return;
  }
  iovec part = {bytes.Data(), bytes.ByteLength()};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  PassedFds<kMaxRequestFds> passed;
  if (count > 0) {
    int fds[kMaxRequestFds];
    for (int i = 0; i < count; i++) {
      napi_value value;
      if (napi_get_element(env, list, static_cast<uint32_t>(i), &value) != napi_ok) return;
      fds[i] = static_cast<int>(number_of(env, value));
    }
    passed.put(&header, fds, count);
  }
  ssize_t n;
  do {
    n = sendmsg(fd_, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == ECONNRESET) was_reset_ = true;
  if (n < 0) system_error(env, errno, "sendmsg").ThrowAsJavaScriptException();
}

// The other side reads the end of file; its answers still arrive.
void Channel::end(const Napi::CallbackInfo&) {
  if (fd_ >= 0) shutdown(fd_, SHUT_WR);
}

void Channel::close(const Napi::CallbackInfo&) { shut(); }

void Channel::ref(const Napi::CallbackInfo&) {
  if (poll_ != nullptr) poll_->ref();
}

void Channel::unref(const Napi::CallbackInfo&) {
  if (poll_ != nullptr) poll_->unref();
}

Napi::Value Channel::was_reset(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), was_reset_); }

void Channel::deliver(const uint8_t* data, size_t size, const int* fds, int count) {
  Napi::Env env = Env();
  Napi::HandleScope scope(env);
  napi_value message = nullptr, list = nullptr;
  if (data != nullptr) message = make_bytes(env, data, size);
  if (data == nullptr && napi_get_null(env, &message) != napi_ok) return;
  if (message == nullptr || napi_create_array_with_length(env, static_cast<size_t>(count), &list) != napi_ok) return;
  for (int i = 0; i < count; i++) {
    napi_value number;
    if (napi_create_int32(env, fds[i], &number) != napi_ok) return;
    if (napi_set_element(env, list, static_cast<uint32_t>(i), number) != napi_ok) return;
  }
  call_javascript(env, callback_, *context_, {message, list});
}

void Channel::on_readable() {
  for (int turn = 0; turn < kMessagesPerTurn && poll_ != nullptr; turn++) {
    uint8_t data[kMaxMessage];
    iovec part = {data, sizeof data};
    PassedFds<kMaxRequestFds> passed;
    msghdr header = {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    passed.expect(&header);
    ssize_t n = recvmsg(fd_, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    // Told once, before what the other side had said, which is still there.
    if (n < 0 && errno == ECONNRESET && !was_reset_) {
      was_reset_ = true;
      continue;
    }
    if (n <= 0) {
      // Held until the callback returns: shut() may drop the last reference.
      Napi::HandleScope scope(Env());
      [[maybe_unused]] Napi::Value keep = Value();
      deliver(nullptr, 0, nullptr, 0);
      shut();
      return;
    }
    int fds[kMaxRequestFds];
    int count = passed.take(&header, fds);
    // Whoever needs them finds that they are missing.
    if (count < 0) count = 0;
    for (int i = 0; i < count; i++) own_descriptor(Env(), fds[i]);
    deliver(data, static_cast<size_t>(n), fds, count);
  }
}

}  // namespace wherry
