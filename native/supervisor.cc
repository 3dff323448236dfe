// SPDX-License-Identifier: MIT
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "log_writer.h"
#include "protocol.h"

namespace wherry {
namespace {

constexpr size_t kChunk = 64 * 1024;
// What one stream may say before the others have their turn.
constexpr int kChunksPerTurn = 4;
constexpr int kMostChunks = 64;
constexpr int64_t kFinishMs = 2'000;

struct Supervised;

struct Stream {
  Watched watched;  // first
  Supervised* owner;
  int fd;
  bool is_stderr;
  LogLine line;
};

struct Supervised {
  pid_t pid;
  bool detached;
  LogFile log;
  Stream streams[2];
  AttachPoint attach;
  bool is_held;   // clients have much to read: its output waits
  char* entries;  // NUL-separated: 'o' + a file that counts kills for want of memory, 'c' + cgroup
  size_t entries_size;
  Supervised* next;
};

int epoll_fd = -1;
Supervised* first = nullptr;

void listen_to(Stream* stream);

// What is in the pipes waits there: taking them from the epoll is the only way not to hear of their ends all the time.
void hold(Supervised* it) {
  it->is_held = true;
  for (Stream& stream : it->streams) {
    if (stream.fd >= 0) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, stream.fd, nullptr);
  }
}

void release(AttachPoint* point) {
  auto* it = reinterpret_cast<Supervised*>(reinterpret_cast<char*>(point) - offsetof(Supervised, attach));
  if (!it->is_held) return;
  it->is_held = false;
  for (Stream& stream : it->streams) listen_to(&stream);
}

void end_stream(Stream* stream) {
  if (stream->fd < 0) return;
  epoll_ctl(epoll_fd, EPOLL_CTL_DEL, stream->fd, nullptr);
  close(stream->fd);
  stream->fd = -1;
  log_end(&stream->owner->log, &stream->line, stream->is_stderr);
}

// Returns how much was read; 0 where there is no more now.
size_t read_some(Stream* stream) {
  static char chunk[kChunk];
  ssize_t n = read(stream->fd, chunk, sizeof chunk);
  if (n > 0) {
    log_append(&stream->owner->log, &stream->line, stream->is_stderr, chunk, static_cast<size_t>(n));
    attach_output(&stream->owner->attach, stream->is_stderr, chunk, static_cast<size_t>(n));
    return static_cast<size_t>(n);
  }
  if (n == 0 || (errno != EAGAIN && errno != EINTR)) end_stream(stream);
  return 0;
}

// Reads what is in the pipe now, and no more: a container may have handed its end to somebody who goes on writing.
// Of a terminal, the kernel tells only when it is read.
void drain(Stream* stream) {
  for (int chunks = 0; stream->owner->attach.is_terminal && chunks < kMostChunks && read_some(stream) > 0; chunks++) {
  }
  int left = 0;
  if (stream->fd < 0 || ioctl(stream->fd, FIONREAD, &left) != 0) return;
  for (size_t n = 1; left > 0 && n > 0 && stream->fd >= 0; left -= static_cast<int>(n)) n = read_some(stream);
}

void stream_ready(Watched* self, uint32_t) {
  auto* stream = reinterpret_cast<Stream*>(self);
  Supervised* it = stream->owner;
  for (int turn = 0; turn < kChunksPerTurn && stream->fd >= 0 && !it->is_held && read_some(stream) > 0; turn++) {
    if (attach_is_full(&it->attach)) hold(it);
  }
}

void watch(Supervised* it, int index, int fd) {
  Stream* stream = &it->streams[index];
  *stream = {{stream_ready}, it, fd, index == 1, {}};
  if (fd < 0) return;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  listen_to(stream);
}

void listen_to(Stream* stream) {
  if (stream->fd < 0) return;
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = &stream->watched;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, stream->fd, &event);
}

Supervised** find(pid_t pid) {
  Supervised** at = &first;
  while (*at != nullptr && (*at)->pid != pid) at = &(*at)->next;
  return at;
}

// The number behind the last occurrence of "oom_kill " in a file of a cgroup; 0 where there is none.
unsigned long count_oom_kills(const char* path) {
  char text[1024];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return 0;
  text[n] = 0;
  const char* found = nullptr;
  for (const char* at = strstr(text, "oom_kill "); at != nullptr; at = strstr(at + 1, "oom_kill ")) found = at;
  return found == nullptr ? 0 : strtoul(found + strlen("oom_kill "), nullptr, 10);
}

uint64_t micros_of(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000 + static_cast<uint64_t>(time.tv_usec);
}

// The record appears whole or not at all. It is what tells other processes of the end.
void record_exit(const Supervised& it, int status, const rusage& usage, unsigned long oom_kills) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  char text[256];
  int size = snprintf(text, sizeof text, "%d %d %llu %llu %llu %lu %lld.%09ld\n", it.pid, status,
                      static_cast<unsigned long long>(micros_of(usage.ru_utime)),
                      static_cast<unsigned long long>(micros_of(usage.ru_stime)),
                      static_cast<unsigned long long>(usage.ru_maxrss) * 1024, oom_kills,
                      static_cast<long long>(now.tv_sec), now.tv_nsec);
  int fd = openat(it.log.dir, "exit.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  bool whole = write(fd, text, static_cast<size_t>(size)) == size;
  close(fd);
  if (whole) renameat(it.log.dir, "exit.tmp", it.log.dir, "exit");
}

// The engine that made the parent of a cgroup may be gone, and could not remove it while this container was in it.
// Whoever comes last does; a parent that others use stays.
void remove_parent(JanitorLink* janitor, const char* entry, size_t length) {
  char parent[4096];
  const char* slash = strrchr(entry, '/');
  if (slash == nullptr || length > sizeof parent) return;
  size_t size = static_cast<size_t>(slash - entry);
  memcpy(parent, entry, size);
  parent[0] = 'r';
  parent[size] = 0;
  janitor_remove(janitor, parent, size + 1);
}

void clean_up(const Supervised& it, JanitorLink* janitor) {
  for (size_t at = 0; at < it.entries_size;) {
    const char* entry = it.entries + at;
    size_t length = strlen(entry) + 1;
    if (entry[0] == 'c') {
      janitor_remove(janitor, entry, length);
      if (it.detached) remove_parent(janitor, entry, length);
    }
    at += length;
  }
}

}  // namespace

int supervisor_open() {
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  return epoll_fd < 0 ? -errno : epoll_fd;
}

pid_t supervise(const uint8_t* message, size_t size, const int* fds, int count) {
  SuperviseHeader header;
  if (size < sizeof header || count < 1) return 0;
  memcpy(&header, message, sizeof header);
  int streams = ((header.flags & kSuperviseStdout) != 0) + ((header.flags & kSuperviseStderr) != 0);
  bool is_terminal = (header.flags & kSuperviseTerminal) != 0;
  bool takes_input = (header.flags & kSuperviseStdin) != 0;
  int inputs = takes_input && !is_terminal;
  bool is_acknowledged = count == 2 + streams + inputs;
  if (count != 1 + streams + inputs && !is_acknowledged) return 0;
  auto* it = static_cast<Supervised*>(calloc(1, sizeof(Supervised)));
  if (it == nullptr) return 0;
  size_t rest = size - sizeof header;
  it->entries = static_cast<char*>(malloc(rest + 1));
  if (it->entries == nullptr) {
    free(it);
    return 0;
  }
  memcpy(it->entries, message + sizeof header, rest);
  it->entries[rest] = 0;
  it->entries_size = rest;
  it->pid = header.pid;
  it->detached = (header.flags & kSuperviseDetached) != 0;
  it->log = {fds[0], -1, 0, header.max_log_bytes, header.max_log_files};
  log_open(&it->log);
  int next = 1;
  watch(it, 0, (header.flags & kSuperviseStdout) != 0 ? fds[next++] : -1);
  watch(it, 1, (header.flags & kSuperviseStderr) != 0 ? fds[next++] : -1);
  int sink = inputs != 0 ? fds[next++] : is_terminal ? fcntl(fds[1], F_DUPFD_CLOEXEC, 0) : -1;
  it->attach.is_terminal = is_terminal;
  it->attach.takes_input = takes_input;
  it->attach.ends_once = (header.flags & kSuperviseStdinOnce) != 0;
  it->attach.on_room = release;
  attach_open(&it->attach, epoll_fd, fds[0], sink);
  if (is_acknowledged) close(fds[next]);
  it->next = first;
  first = it;
  return it->pid;
}

void supervisor_pump() { attach_pump(epoll_fd, 0); }

int supervisor_timeout() { return attach_timeout(); }

void supervisor_expire() {
  attach_expire();
  attach_bury();
}

void supervisor_finish() {
  attach_finish(kFinishMs);
  attach_bury();
}

bool supervisor_exited(pid_t pid, int status, const rusage& usage, JanitorLink* janitor) {
  Supervised** at = find(pid);
  Supervised* it = *at;
  if (it == nullptr) return false;
  *at = it->next;
  // All of its processes are gone with process 1: what is in the pipes now is all that there will ever be.
  for (Stream& stream : it->streams) {
    drain(&stream);
    end_stream(&stream);
  }
  attach_close(&it->attach);
  attach_bury();
  unsigned long oom_kills = 0;
  for (size_t i = 0; i < it->entries_size; i += strlen(it->entries + i) + 1) {
    if (it->entries[i] == 'o') oom_kills += count_oom_kills(it->entries + i + 1);
  }
  log_close(&it->log);
  // In this order: who reads the record may forget the container at once, and nobody else would know its cgroup if we
  // were killed now.
  clean_up(*it, janitor);
  record_exit(*it, status, usage, oom_kills);
  close(it->log.dir);
  free(it->entries);
  free(it);
  return true;
}

bool supervisor_detached(pid_t pid) {
  const Supervised* it = *find(pid);
  return it != nullptr && it->detached;
}

int supervisor_detached_count() {
  int count = 0;
  for (const Supervised* it = first; it != nullptr; it = it->next) count += it->detached;
  return count;
}

}  // namespace wherry
