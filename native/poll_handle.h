// SPDX-License-Identifier: MIT
// A uv_poll_t that outlives its owner for as long as libuv needs it, and calls JavaScript the way Node expects.
// Context: the addon, on the thread of one Node environment.
#pragma once

#include <napi.h>
#include <uv.h>

#include <functional>

namespace wherry {

class PollHandle {
 public:
  // Starts to watch `fd` for reading. Owns neither the descriptor nor the callback's captures.
  static PollHandle* open(Napi::Env env, int fd, std::function<void()> on_readable);
  // Stops watching, then runs `closed` once libuv has let go of the descriptor.
  void close(std::function<void()> closed);
  void pause() { uv_poll_stop(&handle_); }
  void resume();
  void ref() { uv_ref(reinterpret_cast<uv_handle_t*>(&handle_)); }
  void unref() { uv_unref(reinterpret_cast<uv_handle_t*>(&handle_)); }

 private:
  uv_poll_t handle_ = {};
  std::function<void()> on_readable_;
  std::function<void()> closed_;
};

// Calls `callback` with its own async context; an exception it throws reaches process.on('uncaughtException').
void call_javascript(Napi::Env env, const Napi::FunctionReference& callback, const Napi::AsyncContext& context,
                     const std::initializer_list<napi_value>& arguments);

// A JavaScript Error with Node's fields.
Napi::Error system_error(Napi::Env env, int error, const char* call);

}  // namespace wherry
