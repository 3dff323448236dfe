// SPDX-License-Identifier: MIT
#include "plan.h"

#include <doctest/doctest.h>

#include "ops.h"
#include "plan_builder.h"

using namespace wherry;
using wherry_test::PlanBuilder;

namespace {

// A copy of exactly that size on the heap, so that the sanitizers see a read beyond it.
int check_bytes(const std::vector<uint8_t>& bytes) {
  std::vector<uint8_t> copy(bytes);
  copy.shrink_to_fit();
  Plan plan;
  return plan_check(copy.data(), copy.size(), &plan);
}

// An operation that accepts so many arguments, slots aside: the tests are about the format, not about one operation.
uint16_t op_taking(int ints, int strings, bool blobs = false) {
  for (uint16_t op = 0; op < op_count(); op++) {
    const OpShape* shape = op_shape(op);
    bool ints_fit = ints >= shape->min_ints && ints <= shape->max_ints;
    bool strings_fit = strings >= shape->min_strings && strings <= shape->max_strings;
    if (ints_fit && strings_fit && shape->blobs == blobs && shape->slot_mask == 0) return op;
  }
  return kOpCount;
}

std::vector<uint8_t> small_plan() {
  return PlanBuilder().step(op_taking(0, 2), {}, {"some name", "the value"}).step(op_taking(1, 0), {022}).bytes();
}

}  // namespace

TEST_CASE("a well-formed plan reads back as it was written") {
  std::string blob("x\0y", 3);
  std::vector<uint8_t> bytes = PlanBuilder()
                                   .step(op_taking(3, 0), {0755, 0, -5})
                                   .step(op_taking(0, 4, true), {}, {"path", blob, "", "end"})
                                   .step(op_taking(0, 0), {})
                                   .bytes();
  Plan plan;
  REQUIRE(plan_check(bytes.data(), bytes.size(), &plan) == 0);
  CHECK(plan.step_count == 3);

  Step step;
  size_t offset = step_at(plan, kPlanHeaderSize, &step);
  CHECK(step.op == op_taking(3, 0));
  CHECK(step.integer(0) == 0755);
  CHECK(step.integer(2) == -5);

  offset = step_at(plan, offset, &step);
  CHECK(std::string(step.text(0).data) == "path");
  CHECK(step.text(1).size == 3);
  CHECK(memcmp(step.text(1).data, "x\0y", 4) == 0);
  CHECK(step.text(2).size == 0);
  CHECK(std::string(step.text(3).data) == "end");

  CHECK(step_at(plan, offset, &step) == bytes.size());
  CHECK(step.op == op_taking(0, 0));
}

TEST_CASE("an empty plan is a plan") { CHECK(check_bytes(PlanBuilder().bytes()) == 0); }

TEST_CASE("every truncation is refused") {
  std::vector<uint8_t> bytes = small_plan();
  for (size_t size = 0; size < bytes.size(); size++) {
    CAPTURE(size);
    CHECK(check_bytes({bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size)}) < 0);
  }
}

TEST_CASE("trailing bytes are refused") {
  std::vector<uint8_t> bytes = small_plan();
  bytes.resize(bytes.size() + 8);
  CHECK(plan_error(check_bytes(bytes)) == std::string("header does not match the bytes"));
}

TEST_CASE("every changed byte is either harmless or refused, and is never read out of bounds") {
  std::vector<uint8_t> bytes = small_plan();
  for (size_t at = 0; at < bytes.size(); at++) {
    for (int flip : {0x01, 0x80, 0xff}) {
      std::vector<uint8_t> changed = bytes;
      changed[at] = static_cast<uint8_t>(changed[at] ^ flip);
      check_bytes(changed);
    }
  }
}

TEST_CASE("what is wrong has a name") {
  auto error = [](const std::vector<uint8_t>& bytes) { return std::string(plan_error(check_bytes(bytes))); };
  CHECK(error({}) == "size out of range");
  CHECK(error(std::vector<uint8_t>(kMaxPlanSize + 8)) == "size out of range");
  CHECK(error(std::vector<uint8_t>(kPlanHeaderSize)) == "not a plan of this version");
  CHECK(error(PlanBuilder().step(kOpCount, {}).bytes()) == "unknown operation");
  CHECK(error(PlanBuilder().step(op_taking(3, 0), {}).bytes()) == "wrong number of arguments");
  CHECK(error(PlanBuilder().step(op_taking(0, 0), {1, 2}).bytes()) == "wrong number of arguments");
  CHECK(error(PlanBuilder().step(kOp_close, {kMaxSlots}).bytes()) == "slot out of range");
  CHECK(error(PlanBuilder().step(kOp_close, {-2}).bytes()) == "slot out of range");
  std::string nul("a\0b", 3);
  CHECK(error(PlanBuilder().step(op_taking(0, 1), {}, {nul}).bytes()) == "string out of bounds or not terminated");

  PlanBuilder wrong;
  wrong.step(op_taking(1, 0), {1});
  wrong.put(kPlanHeaderSize + 4, uint32_t{12});
  CHECK(error(wrong.bytes()) == "step out of bounds");
}

TEST_CASE("every operation is accepted with its fewest and with its most arguments") {
  PlanBuilder plan;
  for (uint16_t op = 0; op < op_count(); op++) {
    const OpShape* shape = op_shape(op);
    plan.step(op, std::vector<int64_t>(shape->min_ints, 1), std::vector<std::string>(shape->min_strings, "a"));
    plan.step(op, std::vector<int64_t>(shape->max_ints, -1), std::vector<std::string>(shape->max_strings, ""));
  }
  CHECK(check_bytes(plan.bytes()) == 0);
}

TEST_CASE("every operation has a shape, and no shape is empty") {
  CHECK(op_count() == kOpCount);
  CHECK(op_shape(kOpCount) == nullptr);
  for (uint16_t op = 0; op < op_count(); op++) {
    const OpShape* shape = op_shape(op);
    REQUIRE(shape != nullptr);
    CAPTURE(shape->name);
    CHECK(shape->min_ints <= shape->max_ints);
    CHECK(shape->min_strings <= shape->max_strings);
    CHECK(shape->max_strings <= kMaxStrings);
    // Slots are named by integers the step has.
    if (shape->max_ints < 64) CHECK((shape->slot_mask >> shape->max_ints) == 0);
  }
}
