// SPDX-License-Identifier: MIT
// startLauncher, sockets, pipes, memfds, mounts held by descriptor, signals by pidfd.
#pragma once

#include <napi.h>

namespace wherry {

void init_process_ops(Napi::Env env, Napi::Object exports);

}  // namespace wherry
