// SPDX-License-Identifier: MIT
#include "collector.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>

#include "addon_state.h"

namespace wherry {
namespace {

constexpr int kReadsPerTurn = 16;
constexpr size_t kChunk = 64 * 1024;

}  // namespace

void Collector::init(Napi::Env env, Napi::Object exports) {
  exports.Set("Collector",
              DefineClass(env, "Collector",
                          {InstanceMethod<&Collector::drain>("drain"), InstanceMethod<&Collector::close>("close"),
                           InstanceMethod<&Collector::pause>("pause"), InstanceMethod<&Collector::resume>("resume"),
                           InstanceMethod<&Collector::end>("end")}));
}

Collector::Collector(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Napi::Env env = info.Env();
  // A worker that is being terminated wraps nothing any more: what follows would end the whole process.
  if (IsEmpty()) return;
  if (info.Length() < 3 || !info[0].IsNumber() || !info[1].IsNumber() || !info[2].IsFunction()) {
    Napi::TypeError::New(env, "Collector(fd, maxBytes, callback)").ThrowAsJavaScriptException();
    return;
  }
  int fd = info[0].As<Napi::Number>().Int32Value();
  if (!PollHandle::open(
          env, fd, [this] { on_readable(); }, &poll_)) {
    system_error(env, errno, "epoll_ctl").ThrowAsJavaScriptException();
    return;
  }
  fd_ = disown_descriptor(env, fd);
  streaming_ = info[1].As<Napi::Number>().DoubleValue() < 0;
  max_bytes_ = streaming_ ? 0 : static_cast<size_t>(std::min(info[1].As<Napi::Number>().DoubleValue(), 9e15));
  callback_ = Napi::Persistent(info[2].As<Napi::Function>());
  context_ = std::make_unique<Napi::AsyncContext>(env, "WherryCollector");
  Ref();
}

Collector::~Collector() {
  if (poll_ != nullptr) poll_->close();
}

void Collector::shut() {
  if (poll_ == nullptr) return;
  poll_->close();
  fd_ = -1;
  callback_.Reset();
  Unref();
}

// Reads what is there now: after the process has ended, one turn of the event loop less.
void Collector::drain(const Napi::CallbackInfo&) { on_readable(); }

void Collector::close(const Napi::CallbackInfo&) { shut(); }

// Ends as at the end of the stream, though somebody may still write: tells what was read so far.
void Collector::end(const Napi::CallbackInfo&) {
  if (poll_ != nullptr) finish();
}

void Collector::emit(const char* event, napi_value value) {
  napi_value name;
  if (value == nullptr || napi_create_string_utf8(Env(), event, NAPI_AUTO_LENGTH, &name) != napi_ok) return;
  call_javascript(Env(), callback_, *context_, {name, value});
}

void Collector::finish() {
  Napi::HandleScope scope(Env());
  [[maybe_unused]] Napi::Value keep = Value();
  napi_value result = make_bytes(Env(), bytes_.data(), bytes_.size());
  std::vector<uint8_t>().swap(bytes_);
  emit("end", result);
  shut();
}

void Collector::pause(const Napi::CallbackInfo&) {
  paused_ = true;
  if (poll_ != nullptr) poll_->pause();
}

void Collector::resume(const Napi::CallbackInfo&) {
  paused_ = false;
  if (poll_ != nullptr) poll_->resume();
}

void Collector::keep(const uint8_t* data, size_t size) {
  if (streaming_) {
    Napi::HandleScope scope(Env());
    emit("data", make_bytes(Env(), data, size));
    return;
  }
  size_t kept = std::min(max_bytes_ - bytes_.size(), size);
  bytes_.insert(bytes_.end(), data, data + kept);
  if (kept == size || overflowed_) return;
  overflowed_ = true;
  Napi::HandleScope scope(Env());
  napi_value nothing;
  if (napi_get_undefined(Env(), &nothing) == napi_ok) emit("overflow", nothing);
}

void Collector::on_readable() {
  static thread_local uint8_t chunk[kChunk];
  for (int turn = 0; turn < kReadsPerTurn && poll_ != nullptr && !paused_; turn++) {
    ssize_t n = read(fd_, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return finish();
    keep(chunk, static_cast<size_t>(n));
  }
}

}  // namespace wherry
