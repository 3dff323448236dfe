// SPDX-License-Identifier: MIT
// Digests and inflating for threads of ours that have no JavaScript. Both come from the Node that has loaded the addon.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace wherry {

// Whether this Node shares its zlib and OpenSSL with addons.
bool can_decode_layers();

// SHA-256 of bytes as they come. Context: any thread, one at a time.
class Sha256 {
 public:
  Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  ~Sha256();
  // Whether all that was asked of it so far has been done. Once it has not, there is no digest.
  bool ok() const { return context_ != nullptr; }
  void update(const uint8_t* bytes, size_t length);
  // In hexadecimal; empty where it is not ok. To be called once.
  std::string hex();

 private:
  void give_up();

  void* context_;
};

// A gzip stream: members one after the other. What follows them is ignored when it begins with a zero, as Node does it.
// Context: any thread, one at a time.
class Gunzip {
 public:
  enum class Step { kMore, kNeedsInput, kNeedsOutput, kDamaged };

  Gunzip();
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;
  ~Gunzip();
  bool ok() const { return stream_ != nullptr; }
  void give(const uint8_t* input, size_t length);
  // Inflates into `output`, at most `room` bytes; `made` is how many there are.
  Step step(uint8_t* output, size_t room, size_t* made);
  // Whether the input so far may be all of it.
  bool whole() const { return between_ || trailing_; }

 private:
  struct Stream;
  Stream* stream_;
  bool between_ = false;   // a member has ended
  bool trailing_ = false;  // what comes is no member
};

}  // namespace wherry
