// SPDX-License-Identifier: MIT
// Binary form of a launch plan: a header and a list of steps, each a number of 64-bit integers and byte strings.
// lib/plan/encode.ts writes it, plan.cc checks it once, steps_*.cc read it. All numbers are little-endian.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace wherry {

constexpr uint32_t kPlanMagic = 0x59524857;  // "WHRY"
constexpr uint16_t kPlanVersion = 1;
constexpr size_t kPlanHeaderSize = 16;
constexpr size_t kStepHeaderSize = 8;
constexpr size_t kMaxSteps = 1024;
constexpr size_t kMaxPlanSize = 8u << 20;
constexpr int kMaxSlots = 64;
constexpr int kMaxStrings = 250;

struct Text {
  const char* data;  // always followed by a NUL that is not part of size
  uint32_t size;
};

// One step inside a checked plan. Valid as long as the plan's bytes are.
struct Step {
  uint16_t op;
  uint8_t int_count;
  uint8_t string_count;
  const uint8_t* body;

  int64_t integer(int index) const;
  Text text(int index) const;
};

struct Plan {
  const uint8_t* data;
  size_t size;
  uint16_t step_count;
};

// What an operation accepts; plan_check refuses anything else.
struct OpShape {
  const char* name;
  uint8_t min_ints, max_ints;
  uint8_t min_strings, max_strings;
  uint64_t slot_mask;  // which integers are slot numbers: -1 (none) to kMaxSlots - 1
  bool blobs;          // strings may hold NUL bytes
};

// Returns 0, or a negative number that says what is wrong with the bytes (see plan_error).
int plan_check(const uint8_t* data, size_t size, Plan* out);
const char* plan_error(int code);

// Steps are walked in order: start with offset = kPlanHeaderSize, advance with step_next.
size_t step_at(const Plan& plan, size_t offset, Step* out);

const OpShape* op_shape(uint16_t op);
uint16_t op_count();

}  // namespace wherry
