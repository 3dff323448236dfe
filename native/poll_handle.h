// SPDX-License-Identifier: MIT
// A uv_poll_t that outlives its owner for as long as libuv needs it, and calls JavaScript the way Node expects.
// Context: the addon, on the thread of one Node environment.
#pragma once

#include <napi.h>
#include <uv.h>

#include <functional>
#include <initializer_list>

namespace wherry {

class PollHandle {
 public:
  // Starts to watch `fd` for reading, and closes it in the end. `*slot` holds the result for as long as it may be used:
  // it becomes null by close(), and when the environment goes first.
  static bool open(Napi::Env env, int fd, std::function<void()> on_readable, PollHandle** slot);
  void close();
  void pause() { uv_poll_stop(&handle_); }
  void resume();
  void ref() { uv_ref(reinterpret_cast<uv_handle_t*>(&handle_)); }
  void unref() { uv_unref(reinterpret_cast<uv_handle_t*>(&handle_)); }

 private:
  uv_poll_t handle_ = {};
  int fd_ = -1;
  std::function<void()> on_readable_;
  PollHandle** slot_ = nullptr;
  // Keeps the addon loaded until libuv has called back: a worker unloads it when it ends.
  napi_async_cleanup_hook_handle hook_ = nullptr;
};

// Calls `callback` with its own async context; an exception it throws reaches process.on('uncaughtException').
void call_javascript(Napi::Env env, const Napi::FunctionReference& callback, napi_async_context context,
                     std::initializer_list<napi_value> arguments);

// A Buffer with a copy of the bytes, or null where the environment is ending.
napi_value make_bytes(Napi::Env env, const uint8_t* data, size_t size);

// A JavaScript Error with Node's fields.
Napi::Error system_error(Napi::Env env, int error, const char* call);

}  // namespace wherry
