// SPDX-License-Identifier: MIT
#include "plan.h"

#include <string.h>

#include "ops.h"

namespace wherry {
namespace {

constexpr OpShape kShapes[] = {
#define X(name, min_ints, max_ints, min_strings, max_strings, slots, blobs) \
  {#name, min_ints, max_ints, min_strings, max_strings, slots, blobs},
    WHERRY_OPS(X)
#undef X
};

template <typename T>
T load(const uint8_t* from) {
  T value;
  memcpy(&value, from, sizeof value);
  return value;
}

size_t pad8(size_t n) { return (n + 7) & ~size_t{7}; }

// Checks the strings of one step; returns the offset after them, or 0.
size_t check_strings(const uint8_t* data, size_t size, size_t offset, uint8_t count, bool blobs) {
  for (int i = 0; i < count; i++) {
    if (size - offset < 4) return 0;
    size_t length = load<uint32_t>(data + offset);
    if (length >= size - offset - 4) return 0;  // room for the NUL
    const uint8_t* text = data + offset + 4;
    if (text[length] != 0) return 0;
    if (!blobs && memchr(text, 0, length) != nullptr) return 0;
    size_t used = pad8(4 + length + 1);
    if (used > size - offset) return 0;
    offset += used;
  }
  return offset;
}

bool check_slots(const Step& step, uint64_t mask) {
  for (int i = 0; i < step.int_count && i < 64; i++) {
    if ((mask >> i & 1) == 0) continue;
    int64_t slot = step.integer(i);
    if (slot < -1 || slot >= kMaxSlots) return false;
  }
  return true;
}

}  // namespace

int64_t Step::integer(int index) const { return load<int64_t>(body + 8 * index); }

Text Step::text(int index) const {
  const uint8_t* at = body + 8 * int_count;
  for (int i = 0; i < index; i++) at += pad8(4 + size_t{load<uint32_t>(at)} + 1);
  return {reinterpret_cast<const char*>(at + 4), load<uint32_t>(at)};
}

const OpShape* op_shape(uint16_t op) { return op < kOpCount ? &kShapes[op] : nullptr; }

uint16_t op_count() { return kOpCount; }

size_t step_at(const Plan& plan, size_t offset, Step* out) {
  const uint8_t* at = plan.data + offset;
  out->op = load<uint16_t>(at);
  out->int_count = at[2];
  out->string_count = at[3];
  out->body = at + kStepHeaderSize;
  return offset + load<uint32_t>(at + 4);
}

int plan_check(const uint8_t* data, size_t size, Plan* out) {
  if (size < kPlanHeaderSize || size > kMaxPlanSize) return -1;
  if (load<uint32_t>(data) != kPlanMagic || load<uint16_t>(data + 4) != kPlanVersion) return -2;
  uint16_t count = load<uint16_t>(data + 6);
  if (count > kMaxSteps || load<uint32_t>(data + 8) != size) return -3;

  size_t offset = kPlanHeaderSize;
  for (int i = 0; i < count; i++) {
    if (size - offset < kStepHeaderSize) return -4;
    size_t step_size = load<uint32_t>(data + offset + 4);
    if (step_size < kStepHeaderSize || step_size % 8 != 0 || step_size > size - offset) return -4;
    Step step;
    step_at({data, size, count}, offset, &step);
    const OpShape* shape = op_shape(step.op);
    if (shape == nullptr) return -5;
    if (step.int_count < shape->min_ints || step.int_count > shape->max_ints) return -6;
    if (step.string_count < shape->min_strings || step.string_count > shape->max_strings) return -6;
    size_t ints_end = kStepHeaderSize + 8 * size_t{step.int_count};
    if (ints_end > step_size) return -4;
    if (!check_slots(step, shape->slot_mask)) return -7;
    size_t end = check_strings(data, offset + step_size, offset + ints_end, step.string_count, shape->blobs);
    if (end != offset + step_size) return -8;
    offset += step_size;
  }
  if (offset != size) return -3;
  *out = {data, size, count};
  return 0;
}

const char* plan_error(int code) {
  switch (code) {
    case 0: return "ok";
    case -1: return "size out of range";
    case -2: return "not a plan of this version";
    case -3: return "header does not match the bytes";
    case -4: return "step out of bounds";
    case -5: return "unknown operation";
    case -6: return "wrong number of arguments";
    case -7: return "slot out of range";
    case -8: return "string out of bounds or not terminated";
    default: return "unknown";
  }
}

}  // namespace wherry
