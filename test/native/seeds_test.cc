// SPDX-License-Identifier: MIT
// The fuzzer starts from plans with each operation, which must be those that there are now: a plan that is refused at
// its first step leads nowhere. What has changed in ops.h, `native_tests --no-skip -tc="renew*"` writes into the seeds.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "ops.h"
#include "plan.h"
#include "plan_builder.h"

using namespace wherry;
using wherry_test::PlanBuilder;

namespace {

const std::filesystem::path kSeeds = WHERRY_SEEDS;

// All operations, each with as many arguments as it must have or may have.
std::vector<uint8_t> every_operation(bool in_full) {
  PlanBuilder builder;
  for (uint16_t op = 0; op < op_count(); op++) {
    const OpShape* shape = op_shape(op);
    std::vector<int64_t> integers(in_full ? shape->max_ints : shape->min_ints, 1);
    std::vector<std::string> strings(in_full ? shape->max_strings : shape->min_strings, "name");
    builder.step(op, integers, strings);
  }
  return builder.bytes();
}

std::vector<uint8_t> content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("the seeds are accepted, and those with every operation have all that there are") {
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kSeeds)) {
    const std::string name = entry.path().filename();
    CAPTURE(name);
    std::vector<uint8_t> bytes = content(entry.path());
    Plan plan;
    const char* error = plan_error(plan_check(bytes.data(), bytes.size(), &plan));
    CHECK(std::string(error) == "ok");
    if (name.rfind("every-operation", 0) != 0) continue;
    found++;
    CHECK((bytes == every_operation(name == "every-operation-in-full")));
  }
  CHECK(found == 2);
}

TEST_CASE("renew the seeds with every operation" * doctest::skip()) {
  for (bool in_full : {false, true}) {
    const std::vector<uint8_t> bytes = every_operation(in_full);
    std::ofstream file(kSeeds / (in_full ? "every-operation-in-full" : "every-operation"), std::ios::binary);
    std::copy(bytes.begin(), bytes.end(), std::ostreambuf_iterator<char>(file));
  }
}
