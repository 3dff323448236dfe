// SPDX-License-Identifier: MIT
// What one Node environment (the main thread's or a worker's) has started and opened through the addon.
// Context: the addon, on the thread of that environment.
#pragma once

#include <napi.h>
#include <sys/types.h>

#include <map>
#include <unordered_set>

namespace wherry {

// A worker that is terminated takes no leave: its launchers are told and collected here, so that the living process
// keeps no zombie, and its descriptors are closed. The main environment ends with the process; the kernel does it then.
class AddonState {
 public:
  explicit AddonState(bool main_thread) : main_thread_(main_thread) {}
  AddonState(const AddonState&) = delete;
  AddonState& operator=(const AddonState&) = delete;
  ~AddonState();

  void add_launcher(pid_t pid, int control);
  // Closes our duplicate of its control socket; false where it is not ours.
  bool remove_launcher(pid_t pid);

  void own(int fd);
  void disown(int fd) { descriptors_.erase(fd); }

 private:
  bool main_thread_;
  std::map<pid_t, int> launchers_;  // to a duplicate of the control socket
  std::unordered_set<int> descriptors_;
};

void init_addon_state(Napi::Env env);

// A descriptor that JavaScript has now as a number, until it gives it to close(), to an object of ours, or to Node.
int own_descriptor(Napi::Env env, int fd);
int disown_descriptor(Napi::Env env, int fd);

// Arguments as they are, without JavaScript's coercion: that fails in a worker which is being terminated, and
// node-addon-api would end the whole process. What is no number is 0 or -1, what is no string is empty.
int64_t number_of(napi_env env, napi_value value);
int int_of(const Napi::CallbackInfo& info, size_t index);
bool bool_field(const Napi::Object& object, const char* name);

}  // namespace wherry
