// SPDX-License-Identifier: MIT
// Runs the steps of a plan. Context: maker and child processes, both single-threaded and forked from the launcher.
#pragma once

#include <sys/types.h>

#include "plan.h"

namespace wherry {

struct Context {
  int slots[kMaxSlots];  // descriptors that steps pass to each other; -1 where empty
  int status_fd;
  int births_fd;     // the maker tells the launcher its child's pid here
  int janitor_fd;    // keeps the child's mount namespace until it has ended
  bool entered;      // setns was called: every path is the container's from here on, and /proc may be anything
  uint32_t section;  // how many plans came before
  uint32_t step;     // the step that runs
  const char* call;  // the system call that runs, for messages
};

// Each returns 0 or -errno and leaves the name of the failing call in ctx->call.
using StepFunction = int (*)(Context* ctx, const Step& step);
StepFunction step_function(uint16_t op);

// Runs all steps; does not return. In the child it ends in exec or in a report of the failing step.
[[noreturn]] void run_plan(Context* ctx, const uint8_t* data, size_t size);

// Tells Node what failed, and ends this process.
[[noreturn]] void fail(Context* ctx, int error);
void send_status(Context* ctx, uint32_t kind, int32_t value, int fd);

// Notes the call's name for messages, and turns libc's -1 into -errno.
int check(Context* ctx, const char* call, long result);

// Puts a descriptor into a slot, closing what was there; a slot of -1 closes it.
void set_slot(Context* ctx, int64_t slot, int fd);
int slot_fd(const Context* ctx, int64_t slot);

#define WHERRY_STEP(name) int step_##name(Context* ctx, const Step& step)

}  // namespace wherry
