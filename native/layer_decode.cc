// SPDX-License-Identifier: MIT
#include "layer_decode.h"

#include <dlfcn.h>

// Node's headers have it where Node has its own zlib; a Node that was built with the system's may come without.
#if __has_include(<zlib.h>)
#include <zlib.h>
#define WHERRY_HAS_ZLIB 1
#endif

namespace wherry {
namespace {

constexpr size_t kSha256Bytes = 32;

// Looked up when they are needed, not linked: an addon that asks for a name which its Node lacks cannot be loaded at
// all.
template <typename Function>
Function find(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

struct Crypto {
  void* (*new_context)() = find<void* (*)()>("EVP_MD_CTX_new");
  void (*free_context)(void*) = find<void (*)(void*)>("EVP_MD_CTX_free");
  const void* (*sha256)() = find<const void* (*)()>("EVP_sha256");
  int (*init)(void*, const void*, void*) = find<int (*)(void*, const void*, void*)>("EVP_DigestInit_ex");
  int (*update)(void*, const void*, size_t) = find<int (*)(void*, const void*, size_t)>("EVP_DigestUpdate");
  int (*final)(void*, unsigned char*,
               unsigned*) = find<int (*)(void*, unsigned char*, unsigned*)>("EVP_DigestFinal_ex");

  bool ok() const { return new_context && free_context && sha256 && init && update && final; }
};

const Crypto& crypto() {
  static const Crypto found;
  return found;
}

#ifdef WHERRY_HAS_ZLIB
struct Zlib {
  decltype(&::inflateInit2_) init = find<decltype(&::inflateInit2_)>("inflateInit2_");
  decltype(&::inflate) inflate = find<decltype(&::inflate)>("inflate");
  decltype(&::inflateReset) reset = find<decltype(&::inflateReset)>("inflateReset");
  decltype(&::inflateEnd) end = find<decltype(&::inflateEnd)>("inflateEnd");

  bool ok() const { return init && inflate && reset && end; }
};

const Zlib& zlib() {
  static const Zlib found;
  return found;
}
#endif

}  // namespace

Sha256::Sha256() : context_(crypto().ok() ? crypto().new_context() : nullptr) {
  if (context_ != nullptr && crypto().init(context_, crypto().sha256(), nullptr) != 1) give_up();
}

Sha256::~Sha256() { give_up(); }

void Sha256::give_up() {
  if (context_ != nullptr) crypto().free_context(context_);
  context_ = nullptr;
}

void Sha256::update(const uint8_t* bytes, size_t length) {
  if (context_ != nullptr && crypto().update(context_, bytes, length) != 1) give_up();
}

std::string Sha256::hex() {
  unsigned char bytes[64] = {};
  unsigned length = 0;
  if (context_ != nullptr && (crypto().final(context_, bytes, &length) != 1 || length != kSha256Bytes)) give_up();
  if (context_ == nullptr) return "";
  std::string text;
  for (size_t i = 0; i < kSha256Bytes; i++) {
    text += "0123456789abcdef"[bytes[i] >> 4];
    text += "0123456789abcdef"[bytes[i] & 15];
  }
  return text;
}

#ifdef WHERRY_HAS_ZLIB

bool can_decode_layers() { return crypto().ok() && zlib().ok(); }

struct Gunzip::Stream {
  z_stream z = {};
};

Gunzip::Gunzip() : stream_(zlib().ok() ? new Stream : nullptr) {
  constexpr int kGzip = 16;
  if (stream_ == nullptr || zlib().init(&stream_->z, MAX_WBITS + kGzip, ZLIB_VERSION, sizeof(z_stream)) == Z_OK) return;
  delete stream_;
  stream_ = nullptr;
}

Gunzip::~Gunzip() {
  if (stream_ != nullptr) zlib().end(&stream_->z);
  delete stream_;
}

void Gunzip::give(const uint8_t* input, size_t length) {
  stream_->z.next_in = const_cast<Bytef*>(input);
  stream_->z.avail_in = static_cast<uInt>(length);
}

Gunzip::Step Gunzip::step(uint8_t* output, size_t room, size_t* made) {
  *made = 0;
  z_stream& z = stream_->z;
  if (trailing_) return Step::kNeedsInput;
  if (between_) {
    if (z.avail_in == 0) return Step::kNeedsInput;
    trailing_ = *z.next_in == 0;
    if (trailing_) return Step::kNeedsInput;
    if (zlib().reset(&z) != Z_OK) return Step::kDamaged;
    between_ = false;
  }
  z.next_out = output;
  z.avail_out = static_cast<uInt>(room);
  const int result = zlib().inflate(&z, Z_NO_FLUSH);
  *made = room - z.avail_out;
  between_ = result == Z_STREAM_END;
  // Z_BUF_ERROR: nothing could be done without more of either.
  if (!between_ && result != Z_OK && result != Z_BUF_ERROR) return Step::kDamaged;
  if (z.avail_out == 0) return Step::kNeedsOutput;
  return z.avail_in == 0 ? Step::kNeedsInput : Step::kMore;
}

#else

bool can_decode_layers() { return false; }

struct Gunzip::Stream {};
Gunzip::Gunzip() : stream_(nullptr) {}
Gunzip::~Gunzip() = default;
void Gunzip::give(const uint8_t*, size_t) {}
Gunzip::Step Gunzip::step(uint8_t*, size_t, size_t* made) {
  *made = 0;
  return Step::kDamaged;
}

#endif

}  // namespace wherry
