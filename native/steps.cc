// SPDX-License-Identifier: MIT
#include "steps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ops.h"
#include "pass_fds.h"
#include "protocol.h"

namespace wherry {

#define X(name, a, b, c, d, e, f) WHERRY_STEP(name);
WHERRY_OPS(X)
#undef X

namespace {

constexpr StepFunction kFunctions[] = {
#define X(name, a, b, c, d, e, f) step_##name,
    WHERRY_OPS(X)
#undef X
};

void run_steps(Context* ctx, const Plan& plan) {
  size_t offset = kPlanHeaderSize;
  for (uint32_t i = 0; i < plan.step_count; i++) {
    Step step;
    offset = step_at(plan, offset, &step);
    ctx->step = i;
    ctx->call = op_shape(step.op)->name;
    int result = kFunctions[step.op](ctx, step);
    if (result != 0) fail(ctx, -result);
  }
}

}  // namespace

StepFunction step_function(uint16_t op) { return op < kOpCount ? kFunctions[op] : nullptr; }

int check(Context* ctx, const char* call, long result) {
  ctx->call = call;
  return result < 0 ? -errno : 0;
}

int slot_fd(const Context* ctx, int64_t slot) { return slot < 0 ? AT_FDCWD : ctx->slots[slot]; }

void set_slot(Context* ctx, int64_t slot, int fd) {
  if (slot < 0) {
    close(fd);
    return;
  }
  if (ctx->slots[slot] >= 0) close(ctx->slots[slot]);
  ctx->slots[slot] = fd;
}

void send_status(Context* ctx, uint32_t kind, int32_t value, int fd) {
  StatusMessage message = {};
  message.kind = kind;
  message.value = value;
  message.section = ctx->section;
  message.step = ctx->step;
  if (kind == kStatusFailed) {
    message.error = value;
    strncpy(message.call, ctx->call, sizeof message.call - 1);
  }
  iovec part = {&message, sizeof message};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  PassedFds<1> passed;
  if (fd >= 0) passed.put(&header, &fd, 1);
  while (sendmsg(ctx->status_fd, &header, MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

void fail(Context* ctx, int error) {
  send_status(ctx, kStatusFailed, error, -1);
  _exit(127);
}

void run_plan(Context* ctx, const uint8_t* data, size_t size) {
  Plan plan;
  int wrong = plan_check(data, size, &plan);
  if (wrong != 0) {
    ctx->call = plan_error(wrong);
    fail(ctx, EINVAL);
  }
  run_steps(ctx, plan);
  ctx->call = "plan ended without exec";
  fail(ctx, EINVAL);
}

// Waits for the next plan and runs it in place of the rest of this one.
// Descriptors that come with it fill the slots from kMaxRequestFds on, so that they never collide with earlier ones.
WHERRY_STEP(await) {
  (void)step;
  send_status(ctx, kStatusAwait, 0, -1);
  static uint8_t inline_plan[kMaxInlinePlan + sizeof(RequestHeader)];
  iovec part = {inline_plan, sizeof inline_plan};
  PassedFds<kMaxRequestFds> passed;
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  passed.expect(&header);
  ssize_t n;
  do {
    n = recvmsg(ctx->status_fd, &header, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  // End of file: Node let this prepared child go, or died.
  if (n < static_cast<ssize_t>(sizeof(RequestHeader))) _exit(0);

  int fds[kMaxRequestFds];
  int count = passed.take(&header, fds);
  if (count < 0) {
    errno = EMFILE;
    return check(ctx, "recvmsg", -1);
  }
  RequestHeader request;
  memcpy(&request, inline_plan, sizeof request);
  const uint8_t* plan = inline_plan + sizeof request;
  size_t size = static_cast<size_t>(n) - sizeof request;
  if ((request.flags & kPlanInMemfd) != 0) {
    if (count == 0) _exit(0);
    int memfd = fds[--count];
    off_t length = lseek(memfd, 0, SEEK_END);
    void* map = length <= 0 ? MAP_FAILED : mmap(nullptr, static_cast<size_t>(length), PROT_READ, MAP_PRIVATE, memfd, 0);
    if (map == MAP_FAILED) return check(ctx, "mmap", -1);
    close(memfd);
    plan = static_cast<const uint8_t*>(map);
    size = static_cast<size_t>(length);
  }
  for (int i = 0; i < count; i++) set_slot(ctx, kMaxRequestFds + i, fds[i]);
  ctx->section++;
  run_plan(ctx, plan, size);
}

}  // namespace wherry
