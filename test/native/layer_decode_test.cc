// SPDX-License-Identifier: MIT
// Digests by a library that fails: the names that the addon looks up in its Node are found here instead.
#include "layer_decode.h"

#include <doctest/doctest.h>
#include <string.h>

namespace {

enum class Failing { kNothing, kNew, kInit, kUpdate, kFinal, kLength };

Failing failing = Failing::kNothing;
int contexts = 0;

}  // namespace

#pragma GCC visibility push(default)
extern "C" {
void* EVP_MD_CTX_new() {
  if (failing == Failing::kNew) return nullptr;
  contexts++;
  return &contexts;
}
void EVP_MD_CTX_free(void* context) {
  REQUIRE(context == &contexts);
  contexts--;
}
const void* EVP_sha256() { return ""; }
int EVP_DigestInit_ex(void* context, const void*, void*) { return context != nullptr && failing != Failing::kInit; }
int EVP_DigestUpdate(void* context, const void*, size_t) { return context != nullptr && failing != Failing::kUpdate; }
int EVP_DigestFinal_ex(void* context, unsigned char* bytes, unsigned* length) {
  REQUIRE(context != nullptr);
  memset(bytes, 0xab, 32);
  *length = failing == Failing::kLength ? 20 : 32;
  return failing != Failing::kFinal;
}
}
#pragma GCC visibility pop

TEST_CASE("a digest is there, or it is said that there is none") {
  failing = Failing::kNothing;
  {
    wherry::Sha256 hash;
    hash.update(reinterpret_cast<const uint8_t*>("x"), 1);
    std::string expected;
    for (int i = 0; i < 32; i++) expected += "ab";
    CHECK(hash.hex() == expected);
    CHECK(hash.ok());
  }
  for (Failing each : {Failing::kNew, Failing::kInit, Failing::kUpdate, Failing::kFinal, Failing::kLength}) {
    failing = each;
    CAPTURE(static_cast<int>(each));
    wherry::Sha256 hash;
    for (int i = 0; i < 2; i++) hash.update(reinterpret_cast<const uint8_t*>("x"), 1);
    CHECK(hash.hex().empty());
    CHECK(!hash.ok());
  }
  failing = Failing::kNothing;
  CHECK(contexts == 0);
}
