// SPDX-License-Identifier: MIT
// Writes plans for the tests of the decoder, well-formed ones and others.
#pragma once

#include <string.h>

#include <string>
#include <vector>

#include "plan.h"

namespace wherry_test {

class PlanBuilder {
 public:
  PlanBuilder() : bytes_(wherry::kPlanHeaderSize) {
    put(0, wherry::kPlanMagic);
    put(4, wherry::kPlanVersion);
  }

  PlanBuilder& step(uint16_t op, const std::vector<int64_t>& integers, const std::vector<std::string>& strings = {}) {
    size_t start = bytes_.size();
    bytes_.resize(start + wherry::kStepHeaderSize);
    put(start, op);
    bytes_[start + 2] = static_cast<uint8_t>(integers.size());
    bytes_[start + 3] = static_cast<uint8_t>(strings.size());
    for (int64_t integer : integers) append(&integer, sizeof integer);
    for (const std::string& text : strings) {
      uint32_t length = static_cast<uint32_t>(text.size());
      append(&length, sizeof length);
      append(text.c_str(), text.size() + 1);
      bytes_.resize((bytes_.size() + 7) & ~size_t{7});
    }
    put(start + 4, static_cast<uint32_t>(bytes_.size() - start));
    count_++;
    return *this;
  }

  // The plan with its header filled in.
  std::vector<uint8_t> bytes() {
    put(6, count_);
    put(8, static_cast<uint32_t>(bytes_.size()));
    return bytes_;
  }

  template <typename T>
  void put(size_t offset, T value) {
    memcpy(bytes_.data() + offset, &value, sizeof value);
  }

 private:
  void append(const void* data, size_t size) {
    const uint8_t* from = static_cast<const uint8_t*>(data);
    bytes_.insert(bytes_.end(), from, from + size);
  }

  std::vector<uint8_t> bytes_;
  uint16_t count_ = 0;
};

}  // namespace wherry_test
