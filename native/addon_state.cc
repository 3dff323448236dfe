// SPDX-License-Identifier: MIT
#include "addon_state.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <ctime>

namespace wherry {
namespace {

constexpr int kReapTries = 1000;
constexpr timespec kReapPause = {0, 2'000'000};

}  // namespace

AddonState::~AddonState() {
  for (int fd : descriptors_) close(fd);
  for (auto [pid, control] : launchers_) {
    if (!main_thread_) {
      shutdown(control, SHUT_RDWR);
      for (int i = 0; i < kReapTries && waitpid(pid, nullptr, WNOHANG) == 0; i++) nanosleep(&kReapPause, nullptr);
    }
    close(control);
  }
}

void AddonState::add_launcher(pid_t pid, int control) { launchers_[pid] = control; }

bool AddonState::remove_launcher(pid_t pid) {
  auto found = launchers_.find(pid);
  if (found == launchers_.end()) return false;
  close(found->second);
  launchers_.erase(found);
  return true;
}

void AddonState::own(int fd) {
  if (!main_thread_ && fd >= 0) descriptors_.insert(fd);
}

void init_addon_state(Napi::Env env) {
  uv_loop_t* loop = nullptr;
  bool main_thread = napi_get_uv_event_loop(env, &loop) == napi_ok && loop == uv_default_loop();
  env.SetInstanceData(new AddonState(main_thread));
}

int own_descriptor(Napi::Env env, int fd) {
  env.GetInstanceData<AddonState>()->own(fd);
  return fd;
}

int disown_descriptor(Napi::Env env, int fd) {
  env.GetInstanceData<AddonState>()->disown(fd);
  return fd;
}

int64_t number_of(napi_env env, napi_value value) {
  int64_t number = 0;
  return napi_get_value_int64(env, value, &number) == napi_ok ? number : -1;
}

int int_of(const Napi::CallbackInfo& info, size_t index) {
  return static_cast<int>(number_of(info.Env(), info[index]));
}

bool bool_field(const Napi::Object& object, const char* name) {
  napi_value value = nullptr;
  bool result = false;
  if (napi_get_named_property(object.Env(), object, name, &value) != napi_ok) return false;
  return napi_get_value_bool(object.Env(), value, &result) == napi_ok && result;
}

}  // namespace wherry
