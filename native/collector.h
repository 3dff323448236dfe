// SPDX-License-Identifier: MIT
// new Collector(fd, maxBytes, (event, bytes) => void): reads a pipe to its end. 'end' comes once with everything that
// was read; 'overflow' comes once when there is more than maxBytes, after which further bytes are read and dropped.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "poll_handle.h"

namespace wherry {

class Collector : public Napi::ObjectWrap<Collector> {
 public:
  static void init(Napi::Env env, Napi::Object exports);
  explicit Collector(const Napi::CallbackInfo& info);
  ~Collector() override;

 private:
  void drain(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  void pause(const Napi::CallbackInfo& info);
  void resume(const Napi::CallbackInfo& info);
  void end(const Napi::CallbackInfo& info);
  void keep(const uint8_t* data, size_t size);
  void shut();
  void on_readable();
  void finish();
  void emit(const char* event, napi_value value);

  int fd_ = -1;
  size_t max_bytes_ = 0;
  bool overflowed_ = false;
  bool streaming_ = false;
  bool paused_ = false;
  std::vector<uint8_t> bytes_;
  PollHandle* poll_ = nullptr;
  Napi::FunctionReference callback_;
  std::unique_ptr<Napi::AsyncContext> context_;
};

}  // namespace wherry
