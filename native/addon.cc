// SPDX-License-Identifier: MIT
// The addon's door: what each file offers is listed there.
#include <napi.h>

#include "addon_state.h"
#include "channel.h"
#include "collector.h"
#include "fs_ops.h"
#include "layer_feed.h"
#include "process_ops.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  wherry::init_addon_state(env);
  init_fs_ops(env, exports);
  wherry::init_layer_feed(env, exports);
  wherry::init_process_ops(env, exports);
  wherry::Channel::init(env, exports);
  wherry::Collector::init(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(wherry, init)
