// SPDX-License-Identifier: MIT
// Reads layers on threads without JavaScript: file, digest, inflating, up to the ring that the writing thread takes
// from.
#pragma once

#include <napi.h>

namespace wherry {

// Adds startFeed, finishFeed, futexWait and futexWake.
void init_layer_feed(Napi::Env env, Napi::Object exports);

}  // namespace wherry
