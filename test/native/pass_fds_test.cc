// SPDX-License-Identifier: MIT
#include "pass_fds.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "scratch.h"

using wherry::PassedFds;
using wherry_test::open_descriptors;

namespace {

template <int kSent, int kTaken>
int pass(const int* fds, int count, int* taken) {
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  char byte = 'x';
  iovec part = {&byte, 1};
  msghdr sent = {}, received = {};
  sent.msg_iov = received.msg_iov = &part;
  sent.msg_iovlen = received.msg_iovlen = 1;
  PassedFds<kSent> out;
  out.put(&sent, fds, count);
  REQUIRE(sendmsg(pair[0], &sent, 0) == 1);
  PassedFds<kTaken> in;
  in.expect(&received);
  REQUIRE(recvmsg(pair[1], &received, MSG_CMSG_CLOEXEC) == 1);
  int result = in.take(&received, taken);
  close(pair[0]);
  close(pair[1]);
  return result;
}

}  // namespace

TEST_CASE("descriptors arrive in their order, and are closed on exec") {
  int before = open_descriptors();
  int fds[2] = {open("/dev/null", O_RDONLY), open("/dev/zero", O_RDONLY)};
  int taken[3] = {-1, -1, -1};
  REQUIRE(pass<2, 3>(fds, 2, taken) == 2);
  char byte = 'x';
  CHECK(read(taken[0], &byte, 1) == 0);
  CHECK(read(taken[1], &byte, 1) == 1);
  for (int i = 0; i < 2; i++) {
    CHECK(fcntl(taken[i], F_GETFD) == FD_CLOEXEC);
    close(taken[i]);
    close(fds[i]);
  }
  CHECK(pass<2, 3>(nullptr, 0, taken) == 0);
  CHECK(open_descriptors() == before);
}

TEST_CASE("more descriptors than there is room for are refused, and none is kept") {
  int fds[5] = {0, 0, 0, 0, 0};
  int taken[4];
  int before = open_descriptors();
  CHECK(pass<5, 1>(fds, 5, taken) == -1);
  CHECK(pass<5, 4>(fds, 5, taken) == -1);
  // The room is rounded up to pairs: one too many may come all the same.
  CHECK(pass<5, 1>(fds, 2, taken) == -1);
  CHECK(open_descriptors() == before);
}

TEST_CASE("descriptors of which not all could be opened are refused, and none is kept") {
  int fds[3] = {0, 0, 0};
  int taken[3];
  int before = open_descriptors();
  rlimit limit;
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  int next = dup(0);
  close(next);
  // Two for the pair of sockets, one for the first of the three.
  rlimit few = {static_cast<rlim_t>(next) + 3, limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
  int result = pass<3, 3>(fds, 3, taken);
  setrlimit(RLIMIT_NOFILE, &limit);
  CHECK(result == -1);
  CHECK(open_descriptors() == before);
}
