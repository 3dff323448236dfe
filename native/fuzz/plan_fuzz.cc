// SPDX-License-Identifier: MIT
// Fuzz target for the decoder of plans: whatever plan_check accepts must be readable, step by step, within its bytes.
#include "plan.h"

namespace {

// Reads each byte, so that the sanitizers see where it lies.
uint64_t consume(const wherry::Step& step) {
  uint64_t sum = 0;
  for (int i = 0; i < step.int_count; i++) sum += static_cast<uint64_t>(step.integer(i));
  for (int i = 0; i < step.string_count; i++) {
    wherry::Text text = step.text(i);
    for (uint32_t at = 0; at <= text.size; at++) sum += static_cast<unsigned char>(text.data[at]);
    if (text.data[text.size] != 0) __builtin_trap();
  }
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  wherry::Plan plan;
  if (wherry::plan_check(data, size, &plan) != 0) return 0;
  size_t offset = wherry::kPlanHeaderSize;
  volatile uint64_t sink = 0;
  for (int i = 0; i < plan.step_count; i++) {
    wherry::Step step;
    size_t next = wherry::step_at(plan, offset, &step);
    if (next <= offset || next > size) __builtin_trap();
    if (wherry::op_shape(step.op) == nullptr) __builtin_trap();
    sink = sink + consume(step);
    offset = next;
  }
  if (offset != size) __builtin_trap();
  return 0;
}
