// SPDX-License-Identifier: MIT
#include "poll_handle.h"

#include <unistd.h>

#include <string>
#include <utility>

namespace wherry {

bool PollHandle::open(Napi::Env env, int fd, std::function<void()> on_readable, PollHandle** slot) {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return false;
  auto* poll = new PollHandle();
  if (uv_poll_init(loop, &poll->handle_, fd) != 0) {
    delete poll;
    return false;
  }
  poll->fd_ = fd;
  poll->on_readable_ = std::move(on_readable);
  poll->handle_.data = poll;
  poll->slot_ = slot;
  *slot = poll;
  napi_add_async_cleanup_hook(
      env, [](napi_async_cleanup_hook_handle, void* data) { static_cast<PollHandle*>(data)->close(); }, poll,
      &poll->hook_);
  poll->resume();
  return true;
}

void PollHandle::resume() {
  uv_poll_start(&handle_, UV_READABLE | UV_DISCONNECT,
                [](uv_poll_t* handle, int, int) { static_cast<PollHandle*>(handle->data)->on_readable_(); });
}

void PollHandle::close() {
  auto* handle = reinterpret_cast<uv_handle_t*>(&handle_);
  if (uv_is_closing(handle) != 0) return;
  *slot_ = nullptr;
  uv_poll_stop(&handle_);
  uv_close(handle, [](uv_handle_t* closed) {
    auto* poll = static_cast<PollHandle*>(closed->data);
    ::close(poll->fd_);
    napi_remove_async_cleanup_hook(poll->hook_);
    delete poll;
  });
}

// A worker that is being terminated runs no more JavaScript: every call fails then, and must fail quietly.
// node-addon-api would end the whole process.
void call_javascript(Napi::Env env, const Napi::FunctionReference& callback, napi_async_context context,
                     std::initializer_list<napi_value> arguments) {
  napi_value global, result;
  if (napi_get_global(env, &global) != napi_ok) return;
  napi_make_callback(env, context, global, callback.Value(), arguments.size(), arguments.begin(), &result);
  bool pending = false;
  napi_value error;
  if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) return;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

napi_value make_bytes(Napi::Env env, const uint8_t* data, size_t size) {
  napi_value result;
  return napi_create_buffer_copy(env, size, data, nullptr, &result) == napi_ok ? result : nullptr;
}

Napi::Error system_error(Napi::Env env, int error, const char* call) {
  const char* name = uv_err_name(-error);
  Napi::Error made = Napi::Error::New(env, std::string(name) + ": " + uv_strerror(-error) + ", " + call);
  made.Set("code", Napi::String::New(env, name));
  made.Set("errno", Napi::Number::New(env, error));
  made.Set("syscall", Napi::String::New(env, call));
  return made;
}

}  // namespace wherry
