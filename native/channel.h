// SPDX-License-Identifier: MIT
// new Channel(fd, (message | null, fds) => void): a SOCK_SEQPACKET socket. null is the end of file, delivered once.
// wasReset tells whether the other side has left without reading all that was sent (unix(7): ECONNRESET).
#pragma once

#include <napi.h>

#include <memory>

#include "poll_handle.h"

namespace wherry {

class Channel : public Napi::ObjectWrap<Channel> {
 public:
  static void init(Napi::Env env, Napi::Object exports);
  explicit Channel(const Napi::CallbackInfo& info);
  ~Channel() override;

 private:
  void send(const Napi::CallbackInfo& info);
  void end(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  void ref(const Napi::CallbackInfo& info);
  void unref(const Napi::CallbackInfo& info);
  Napi::Value was_reset(const Napi::CallbackInfo& info);
  void shut();
  void on_readable();
  void deliver(const uint8_t* data, size_t size, const int* fds, int count);

  int fd_ = -1;
  bool was_reset_ = false;
  PollHandle* poll_ = nullptr;
  Napi::FunctionReference callback_;
  std::unique_ptr<Napi::AsyncContext> context_;
};

}  // namespace wherry
