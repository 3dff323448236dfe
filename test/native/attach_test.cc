// SPDX-License-Identifier: MIT
// Clients of a container's streams, over socket pairs in place of the container's socket.
#include "attach.h"

#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "scratch.h"

namespace {

using namespace wherry;
using wherry_test::Scratch;

int rooms = 0;

struct Fixture {
  Scratch scratch;
  AttachPoint point = {};
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  int dir = open(scratch.path(".").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int input = -1;  // where the sink ends

  explicit Fixture(bool once = false) {
    signal(SIGPIPE, SIG_IGN);
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    input = ends[0];
    point.takes_input = true;
    point.ends_once = once;
    point.on_room = [](AttachPoint*) { rooms++; };
    rooms = 0;
    REQUIRE(attach_open(&point, epoll, dir, ends[1]) == 0);
  }

  ~Fixture() {
    attach_close(&point);
    attach_finish(0);
    attach_bury();
    if (input >= 0) close(input);
    close(dir);
    close(epoll);
  }

  int client() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    attach_add(&point, ends[0]);
    return ends[1];
  }

  void turn() {
    epoll_event events[8];
    for (int n = 1; n > 0;) {
      n = epoll_wait(epoll, events, 8, 0);
      for (int i = 0; i < n; i++) {
        auto* watched = static_cast<Watched*>(events[i].data.ptr);
        watched->on_ready(watched, events[i].events);
      }
      attach_bury();
      // What waits for a reader is ready for ever.
      if (attach_is_full(&point)) return;
    }
  }
};

std::string read_all(int fd) {
  std::string all;
  char chunk[65536];
  for (ssize_t n; (n = read(fd, chunk, sizeof chunk)) > 0;) all.append(chunk, static_cast<size_t>(n));
  return all;
}

std::string frame(uint8_t kind, const std::string& data) {
  auto size = static_cast<uint32_t>(data.size());
  std::string all(1, static_cast<char>(kind));
  all.append(reinterpret_cast<const char*>(&size), sizeof size);
  return all + data;
}

void say(int fd, const std::string& bytes) {
  REQUIRE(write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
}

TEST_CASE("every client gets a greeting and all output from then on") {
  Fixture f;
  int first = f.client();
  attach_output(&f.point, false, "one", 3);
  int second = f.client();
  attach_output(&f.point, true, "two", 3);
  CHECK(read_all(first) == frame(kFrameHello, "\2") + frame(kFrameStdout, "one") + frame(kFrameStderr, "two"));
  CHECK(read_all(second) == frame(kFrameHello, "\2") + frame(kFrameStderr, "two"));
  close(first);
  close(second);
  f.turn();
  CHECK(f.point.clients == nullptr);
}

TEST_CASE("a client that does not read holds output back, and lets it go on when it reads or leaves") {
  Fixture f;
  int client = f.client();
  std::string chunk(65536, 'x');
  while (!attach_is_full(&f.point)) attach_output(&f.point, false, chunk.data(), chunk.size());
  CHECK(attach_timeout() > 0);
  CHECK(rooms == 0);
  while (attach_is_full(&f.point)) {
    read_all(client);
    f.turn();
  }
  CHECK(rooms == 1);
  while (!attach_is_full(&f.point)) attach_output(&f.point, false, chunk.data(), chunk.size());
  close(client);
  attach_output(&f.point, false, "x", 1);
  attach_bury();
  CHECK(rooms == 2);
  CHECK(attach_timeout() == -1);
}

TEST_CASE("input waits while nobody reads it, and arrives whole") {
  Fixture f;
  int client = f.client();
  std::string typed(kMaxInputFrame, 'a');
  say(client, frame(kFrameInput, typed));
  f.turn();
  say(client, frame(kFrameInput, typed));
  f.turn();
  std::string got;
  while (got.size() < 2 * typed.size()) {
    std::string more = read_all(f.input);
    REQUIRE(!more.empty());
    got += more;
    f.turn();
  }
  CHECK(got == typed + typed);
  // The end of one client's input is not that of the container's.
  say(client, frame(kFrameInputEnd, ""));
  f.turn();
  CHECK(f.point.sink >= 0);
  close(client);
}

TEST_CASE("an input for one ends with it") {
  Fixture f(true);
  int onlooker = f.client();
  close(onlooker);
  f.turn();
  CHECK(f.point.sink >= 0);
  int client = f.client();
  say(client, frame(kFrameInput, "last"));
  f.turn();
  close(client);
  f.turn();
  CHECK(f.point.sink < 0);
  char bytes[8];
  CHECK(read(f.input, bytes, sizeof bytes) == 4);
  CHECK(read(f.input, bytes, sizeof bytes) == 0);
}

TEST_CASE("whoever sends nonsense is let go") {
  Fixture f;
  int client = f.client();
  say(client, std::string("\1\377\377\377\377", 5));
  f.turn();
  CHECK(f.point.clients == nullptr);
  read_all(client);
  char byte;
  CHECK(read(client, &byte, 1) == 0);
  close(client);
}

TEST_CASE("what was written before the end is read after it") {
  Fixture f;
  int client = f.client();
  std::string chunk(65536, 'x');
  while (!attach_is_full(&f.point)) attach_output(&f.point, false, chunk.data(), chunk.size());
  attach_output(&f.point, false, "end", 3);
  attach_close(&f.point);
  CHECK(faccessat(f.dir, "attach", F_OK, 0) != 0);
  std::string all;
  for (std::string more = "-"; !more.empty(); f.turn()) all += more = read_all(client);
  CHECK(all.substr(all.size() - 3) == "end");
  char byte;
  CHECK(read(client, &byte, 1) == 0);
  close(client);
}

TEST_CASE("what a client typed before it left counts, whatever it left unread") {
  Fixture f;
  std::string chunk(65536, 'x');
  int client = f.client();
  while (!attach_is_full(&f.point)) attach_output(&f.point, false, chunk.data(), chunk.size());
  say(client, frame(kFrameInput, "last"));
  close(client);
  SUBCASE("as its socket tells") {}
  SUBCASE("as the next output finds out") { attach_output(&f.point, false, "x", 1); }
  for (int i = 0; i < 4; i++) f.turn();
  CHECK(read_all(f.input) == "last");
  CHECK(f.point.clients == nullptr);
  CHECK(rooms == 1);
}

TEST_CASE("what a client typed goes on after it left, as there is room for it") {
  Fixture f(true);
  int client = f.client();
  std::string typed(kMaxInputFrame, 'a');
  say(client, frame(kFrameInput, typed));
  say(client, frame(kFrameInput, typed));
  f.turn();
  std::string chunk(65536, 'x');
  while (!attach_is_full(&f.point)) attach_output(&f.point, false, chunk.data(), chunk.size());
  close(client);
  f.turn();
  CHECK(!attach_is_full(&f.point));
  CHECK(rooms == 1);
  CHECK(attach_timeout() == -1);
  SUBCASE("all of it") {
    std::string got;
    for (std::string more = "-"; !more.empty(); f.turn()) got += more = read_all(f.input);
    CHECK((got == typed + typed));
    CHECK(f.point.clients == nullptr);
    CHECK(f.point.sink < 0);
  }
  SUBCASE("until nobody reads it any more") {
    close(f.input);
    f.input = -1;
    f.turn();
    CHECK(f.point.clients == nullptr);
  }
  SUBCASE("until others want its place") {
    int others[kMaxClients];
    for (int& other : others) other = f.client();
    char byte;
    // A greeting, and no end.
    for (int other : others) CHECK(read(other, &byte, 1) == 1);
    for (int other : others) close(other);
  }
}

TEST_CASE("who waits for room in an input that ends waits no more") {
  Fixture f(true);
  int first = f.client();
  int second = f.client();
  std::string typed(kMaxInputFrame, 'a');
  for (int i = 0; i < 3; i++) say(first, frame(kFrameInput, typed));
  f.turn();
  say(second, frame(kFrameInputEnd, ""));
  f.turn();
  CHECK(f.point.sink < 0);
  int left = -1;
  CHECK(ioctl(first, SIOCOUTQ, &left) == 0);
  CHECK(left == 0);
  close(first);
  close(second);
}

TEST_CASE("who types without pause lets others have their turn") {
  Fixture f;
  int client = f.client();
  std::string resizes;
  for (int i = 0; i < 1000; i++) resizes += frame(kFrameResize, "1234");
  say(client, resizes);
  epoll_event event;
  REQUIRE(epoll_wait(f.epoll, &event, 1, 0) == 1);
  auto* watched = static_cast<Watched*>(event.data.ptr);
  watched->on_ready(watched, event.events);
  int left = 0;
  CHECK(ioctl(client, SIOCOUTQ, &left) == 0);
  CHECK(left > 0);
  f.turn();
  CHECK(ioctl(client, SIOCOUTQ, &left) == 0);
  CHECK(left == 0);
  close(client);
}

TEST_CASE("at the end, one who does not read keeps nobody else from reading") {
  Fixture f;
  int reader = f.client();
  int idler = f.client();
  std::string chunk(65536, 'x');
  while (!attach_is_full(&f.point)) attach_output(&f.point, false, chunk.data(), chunk.size());
  attach_output(&f.point, false, "end", 3);
  attach_close(&f.point);
  std::string all;
  fcntl(reader, F_SETFL, 0);
  std::thread thread([&] { all = read_all(reader); });
  attach_finish(500);
  thread.join();
  CHECK(all.substr(all.size() - 3) == "end");
  close(reader);
  close(idler);
}

}  // namespace
