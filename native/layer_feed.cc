// SPDX-License-Identifier: MIT
#include "layer_feed.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "fs_ops.h"
#include "layer_decode.h"

namespace wherry {
namespace {

// The words of lib/layer/chunk-ring.ts and of lib/layer/growing-file.ts, which say what they mean.
enum RingWord { kPublished, kReleased, kEnded, kClosed, kStopped, kProducerNews, kConsumerNews, kInflated, kLengths };
constexpr int32_t kSlots = 16;
constexpr size_t kChunkBytes = 256 * 1024;
enum GrowingWord { kState, kChanges, kSize };
constexpr int32_t kGrowing = 0, kFinished = 1;

// A thread that is to stop is not told by who stops it, the owner on the main thread: it looks that often.
constexpr int64_t kLookNs = 20'000'000;
// While a download is slower than we are.
constexpr int64_t kFirstNapNs = 500'000, kLongestNapNs = 8'000'000;
constexpr size_t kHeadBytes = 4;

int32_t load(const int32_t* word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }

void futex_wait(const int32_t* word, int32_t value, int64_t ns) {
  const timespec timeout = {ns / 1'000'000'000, ns % 1'000'000'000};
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &timeout, nullptr, 0);
}

void futex_wake(const int32_t* word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); }

bool is_zstd(const uint8_t* head) {
  const bool magic = head[0] == 0x28 && head[1] == 0xb5 && head[2] == 0x2f && head[3] == 0xfd;
  const bool skippable = (head[0] & 0xf0) == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18;
  return magic || skippable;
}

bool is_gzip(const uint8_t* head) { return head[0] == 0x1f && head[1] == 0x8b; }

// Where a feed gets its bytes: a file, which may still be growing.
struct FeedSource {
  int fd = -1;
  int32_t* growing = nullptr;  // nullptr: it is whole
};

// One layer being read. It is its own thread's until that has ended.
class Feed {
 public:
  Feed(FeedSource source, int32_t* words, uint8_t* data) : source_(source), words_(words), data_(data) {}
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;
  ~Feed() { join(); }

  bool start() { return started_ = uv_thread_create(&thread_, run, this) == 0; }
  // Ends the thread, at once where it has not come to its end.
  void join();
  Napi::Value outcome(Napi::Env env) const;
  // Keeps the memory alive that the thread works in.
  void keep(Napi::Value value) { kept_.push_back(Napi::Reference<Napi::Value>::New(value, 1)); }

 private:
  static void run(void* feed) { static_cast<Feed*>(feed)->work(); }
  void work();
  void end_ring();
  bool is_stopped() const { return stop_.load() || load(&words_[kStopped]) != 0 || load(&words_[kClosed]) != 0; }
  uint8_t* slot();
  void publish(size_t length);
  size_t read_some(uint8_t* to, size_t room);
  size_t read_at(uint8_t* to, size_t room);
  void pass(uint8_t* first, size_t length);
  void inflate(const uint8_t* first, size_t length);
  bool inflate_some(Gunzip* gunzip);
  void fail(const char* status) {
    if (status_ == nullptr) status_ = status;
  }

  const FeedSource source_;
  int32_t* const words_;
  uint8_t* const data_;
  std::vector<Napi::Reference<Napi::Value>> kept_;
  uv_thread_t thread_ = {};
  bool started_ = false;
  std::atomic<bool> stop_{false};

  Sha256 hash_;
  int64_t position_ = 0;
  uint8_t* out_ = nullptr;
  size_t out_bytes_ = 0;
  const char* status_ = nullptr;  // nullptr: all is well
  int error_ = 0;
  std::string digest_;
};

void Feed::join() {
  if (!started_) return;
  started_ = false;
  if (load(&words_[kEnded]) == 0) {
    stop_.store(true);
    futex_wake(&words_[kProducerNews]);
  }
  uv_thread_join(&thread_);
}

void Feed::work() {
  if (!hash_.ok()) fail("unsupported");
  uint8_t* first = status_ == nullptr ? slot() : nullptr;
  size_t length = 0;
  while (first != nullptr && length < kHeadBytes) {
    const size_t bytes = read_some(first + length, kChunkBytes - length);
    if (bytes == 0) break;
    length += bytes;
  }
  if (first != nullptr && status_ == nullptr) {
    // A shorter one is neither, and no archive.
    if (length >= kHeadBytes && is_zstd(first)) {
      fail("unsupported");
    } else if (length >= 2 && is_gzip(first)) {
      __atomic_store_n(&words_[kInflated], 1, __ATOMIC_SEQ_CST);
      inflate(std::vector<uint8_t>(first, first + length).data(), length);
    } else {
      pass(first, length);
    }
  }
  if (status_ == nullptr) digest_ = hash_.hex();
  // What nobody knows the digest of must not pass for verified.
  if (!hash_.ok()) fail("undigested");
  end_ring();
}

// Hands on what is read as it is. A chunk is hashed when the other thread has begun to work on it.
void Feed::pass(uint8_t* chunk, size_t length) {
  while (length > 0) {
    publish(length);
    hash_.update(chunk, length);
    chunk = slot();
    if (chunk == nullptr) return;
    length = read_some(chunk, kChunkBytes);
  }
}

void Feed::inflate(const uint8_t* first, size_t length) {
  Gunzip gunzip;
  if (!gunzip.ok()) return fail("unsupported");
  std::vector<uint8_t> input(first, first + length);
  input.resize(kChunkBytes);
  while (length > 0) {
    hash_.update(input.data(), length);
    gunzip.give(input.data(), length);
    if (!inflate_some(&gunzip)) return;
    length = read_some(input.data(), kChunkBytes);
  }
  if (status_ != nullptr) return;
  if (!gunzip.whole()) return fail("damaged");
  if (out_bytes_ > 0) publish(out_bytes_);
}

bool Feed::inflate_some(Gunzip* gunzip) {
  for (;;) {
    if (out_ == nullptr) {
      out_ = slot();
      out_bytes_ = 0;
    }
    if (out_ == nullptr) return false;
    size_t made = 0;
    const Gunzip::Step step = gunzip->step(out_ + out_bytes_, kChunkBytes - out_bytes_, &made);
    out_bytes_ += made;
    if (out_bytes_ == kChunkBytes) {
      publish(out_bytes_);
      out_ = nullptr;
    }
    if (step == Gunzip::Step::kNeedsInput) return true;
    if (step != Gunzip::Step::kDamaged) continue;
    fail("damaged");
    return false;
  }
}

// The buffer to fill next, once the consumer is done with it; nullptr when it wants no more.
uint8_t* Feed::slot() {
  for (;;) {
    const int32_t news = load(&words_[kProducerNews]);
    if (is_stopped()) {
      fail("stopped");
      return nullptr;
    }
    const int32_t published = load(&words_[kPublished]);
    if (published - load(&words_[kReleased]) < kSlots) return data_ + (published % kSlots) * kChunkBytes;
    futex_wait(&words_[kProducerNews], news, kLookNs);
  }
}

void Feed::publish(size_t length) {
  const int32_t published = load(&words_[kPublished]);
  __atomic_store_n(&words_[kLengths + published % kSlots], static_cast<int32_t>(length), __ATOMIC_SEQ_CST);
  __atomic_store_n(&words_[kPublished], published + 1, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&words_[kConsumerNews], 1, __ATOMIC_SEQ_CST);
  futex_wake(&words_[kConsumerNews]);
}

void Feed::end_ring() {
  __atomic_store_n(&words_[kEnded], 1, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&words_[kConsumerNews], 1, __ATOMIC_SEQ_CST);
  futex_wake(&words_[kConsumerNews]);
}

// At least one byte; 0 at the end, or when something is wrong.
size_t Feed::read_some(uint8_t* to, size_t room) {
  if (source_.growing == nullptr) return read_at(to, room);
  for (int64_t nap = kFirstNapNs;; nap = nap * 2 < kLongestNapNs ? nap * 2 : kLongestNapNs) {
    // The state first: once it says that the file is whole, the size is the last one.
    const int32_t state = load(&source_.growing[kState]);
    const auto* size = reinterpret_cast<const int64_t*>(&source_.growing[kSize]);
    const int64_t left = __atomic_load_n(size, __ATOMIC_SEQ_CST) - position_;
    if (is_stopped()) {
      fail("stopped");
      return 0;
    }
    if (left > 0) {
      const size_t bytes = read_at(to, left < static_cast<int64_t>(room) ? static_cast<size_t>(left) : room);
      if (bytes == 0) fail("short");
      return bytes;
    }
    if (state == kFinished) return 0;
    if (state != kGrowing) {
      fail("given-up");
      return 0;
    }
    const timespec pause = {0, static_cast<long>(nap)};
    nanosleep(&pause, nullptr);
  }
}

size_t Feed::read_at(uint8_t* to, size_t room) {
  ssize_t bytes;
  do {
    bytes = pread(source_.fd, to, room, position_);
  } while (bytes < 0 && errno == EINTR);
  if (bytes < 0) {
    error_ = errno;
    fail("unreadable");
    return 0;
  }
  position_ += bytes;
  return static_cast<size_t>(bytes);
}

Napi::Value Feed::outcome(Napi::Env env) const {
  if (error_ != 0) return throw_errno(env, error_, "pread");
  Napi::Object result = Napi::Object::New(env);
  result.Set("status", status_ == nullptr ? "whole" : status_);
  result.Set("digest", "sha256:" + digest_);
  result.Set("bytes", static_cast<double>(position_));
  return result;
}

// An array of 32-bit words in memory that threads share.
int32_t* words_arg(const Napi::CallbackInfo& info, size_t index, size_t least) {
  const Napi::Value value = info[index];
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array) {
    const Napi::Int32Array words = value.As<Napi::Int32Array>();
    if (words.ElementLength() >= least) return const_cast<int32_t*>(words.Data());
  }
  throw_type(info.Env(), "this takes an Int32Array of shared words");
  return nullptr;
}

// startFeed(fd, ring words, ring bytes, growing words | undefined)
Napi::Value js_start_feed(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  bool ok = true;
  FeedSource source;
  source.fd = static_cast<int>(int_arg(info, 0, &ok));
  if (!ok) return env.Undefined();
  int32_t* words = words_arg(info, 1, kLengths + kSlots);
  if (words == nullptr) return env.Undefined();
  if (!info[2].IsTypedArray() || info[2].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array ||
      info[2].As<Napi::Uint8Array>().ByteLength() < kSlots * kChunkBytes) {
    return throw_type(env, "bytes must be the Uint8Array of a ring");
  }
  if (!info[3].IsUndefined()) {
    source.growing = words_arg(info, 3, kSize + 2);
    if (source.growing == nullptr) return env.Undefined();
  }
  auto feed = std::make_unique<Feed>(source, words, info[2].As<Napi::Uint8Array>().Data());
  for (size_t i = 1; i <= 3; i++) {
    if (info[i].IsTypedArray()) feed->keep(info[i]);
  }
  if (!can_decode_layers() || !feed->start()) return env.Undefined();
  // Also where the environment ends in the middle of a layer: its thread works in memory that would go.
  return Napi::External<Feed>::New(env, feed.release(), [](Napi::Env, Feed* gone) { delete gone; });
}

// finishFeed(feed) -> { status, digest, bytes }; its thread has ended then.
Napi::Value js_finish_feed(const Napi::CallbackInfo& info) {
  if (!info[0].IsExternal()) return throw_type(info.Env(), "this takes what startFeed returned");
  Feed* feed = info[0].As<Napi::External<Feed>>().Data();
  feed->join();
  return feed->outcome(info.Env());
}

// futexWait(words, index, value)
Napi::Value js_futex_wait(const Napi::CallbackInfo& info) {
  bool ok = true;
  const auto index = static_cast<size_t>(int_arg(info, 1, &ok));
  const auto value = static_cast<int32_t>(int_arg(info, 2, &ok));
  if (!ok) return info.Env().Undefined();
  const int32_t* words = words_arg(info, 0, index + 1);
  if (words != nullptr) futex_wait(&words[index], value, kLookNs);
  return info.Env().Undefined();
}

// futexWake(words, index)
Napi::Value js_futex_wake(const Napi::CallbackInfo& info) {
  bool ok = true;
  const auto index = static_cast<size_t>(int_arg(info, 1, &ok));
  if (!ok) return info.Env().Undefined();
  const int32_t* words = words_arg(info, 0, index + 1);
  if (words != nullptr) futex_wake(&words[index]);
  return info.Env().Undefined();
}

}  // namespace

void init_layer_feed(Napi::Env env, Napi::Object exports) {
  exports.Set("startFeed", Napi::Function::New<js_start_feed>(env, "startFeed"));
  exports.Set("finishFeed", Napi::Function::New<js_finish_feed>(env, "finishFeed"));
  exports.Set("futexWait", Napi::Function::New<js_futex_wait>(env, "futexWait"));
  exports.Set("futexWake", Napi::Function::New<js_futex_wake>(env, "futexWake"));
}

}  // namespace wherry
