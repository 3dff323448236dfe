// SPDX-License-Identifier: MIT
// The launcher: parent of every container of one engine. It forks a maker for each request, reaps, reports exits, and
// when Node goes away kills what is attached and removes the scratch that Node registered.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "janitor.h"
#include "pass_fds.h"
#include "plan.h"
#include "protocol.h"
#include "steps.h"
#include "supervisor.h"
#include "sys.h"

namespace wherry {
namespace {

constexpr int kControlFd = 3;
constexpr int kMaxMakers = 4096;
constexpr int kWaitMs = 100, kMakerPatienceMs = 1000, kPatienceMs = 10'000;
constexpr int kIgnored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT};

struct Launcher {
  uint8_t message[kMaxInlinePlan + sizeof(RequestHeader)];
  pid_t makers[kMaxMakers];
  int maker_count;
  pid_t* containers;
  size_t container_count, container_capacity;
  pid_t early[64];  // ends that were reaped before their birth was told; the oldest is overwritten
  size_t next_early;
  int births[2];  // makers write the pids of their children here
  char* cleanup;
  size_t cleanup_size;
  JanitorLink janitor;
  rlimit nofile;  // as it was: what containers inherit
};

void add_container(Launcher* l, pid_t pid) {
  if (l->container_count == l->container_capacity) {
    size_t capacity = l->container_capacity == 0 ? 64 : l->container_capacity * 2;
    auto* grown = static_cast<pid_t*>(realloc(l->containers, capacity * sizeof(pid_t)));
    if (grown == nullptr) return;
    l->containers = grown;
    l->container_capacity = capacity;
  }
  l->containers[l->container_count++] = pid;
}

void drain_births(Launcher* l) {
  pid_t pid;
  while (read(l->births[0], &pid, sizeof pid) == sizeof pid) {
    bool ended = false;
    for (pid_t& early : l->early) {
      if (early != pid) continue;
      early = 0;
      ended = true;
    }
    if (!ended) add_container(l, pid);
  }
}

bool take(pid_t* list, size_t count, pid_t pid) {
  for (size_t i = 0; i < count; i++) {
    if (list[i] != pid) continue;
    list[i] = list[count - 1];
    return true;
  }
  return false;
}

void report_exit(pid_t pid, int status, const rusage& usage) {
  ExitEvent event = {};
  event.pid = pid;
  event.status = status;
  event.user_micros =
      static_cast<uint64_t>(usage.ru_utime.tv_sec) * 1'000'000 + static_cast<uint64_t>(usage.ru_utime.tv_usec);
  event.system_micros =
      static_cast<uint64_t>(usage.ru_stime.tv_sec) * 1'000'000 + static_cast<uint64_t>(usage.ru_stime.tv_usec);
  event.max_rss_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
  while (send(kControlFd, &event, sizeof event, MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

// Waits for the end of a child. What is supervised is recorded before it is reaped: whoever finds its process gone
// finds the record of its end, unless this launcher was killed. Returns its pid, 0 where none has ended yet, -1 without
// any.
pid_t next_ended(Launcher* l, int options, int* status, rusage* usage) {
  siginfo_t info = {};
  long result = syscall(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOWAIT | options, usage);
  while (result < 0 && errno == EINTR)
    result = syscall(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOWAIT | options, usage);
  if (result < 0 || info.si_pid == 0) return result < 0 ? -1 : 0;
  *status = info.si_code == CLD_EXITED   ? (info.si_status & 0xff) << 8
            : info.si_code == CLD_DUMPED ? info.si_status | WCOREFLAG
                                         : info.si_status;
  supervisor_exited(info.si_pid, *status, *usage, &l->janitor);
  return wait4(info.si_pid, status, 0, usage);
}

void reap(Launcher* l) {
  int status;
  rusage usage;
  pid_t pid;
  while ((pid = next_ended(l, WNOHANG, &status, &usage)) > 0) {
    if (pid == l->janitor.pid) {
      close(l->janitor.socket);
      start_janitor(&l->janitor);
      continue;
    }
    if (take(l->makers, static_cast<size_t>(l->maker_count), pid)) {
      l->maker_count--;
      continue;
    }
    drain_births(l);
    if (take(l->containers, l->container_count, pid)) {
      l->container_count--;
    } else {
      l->early[l->next_early++ % 64] = pid;
    }
    report_exit(pid, status, usage);
    janitor_exited(&l->janitor, pid);
  }
}

// Leaves open what a maker needs: what belongs to other containers is none of its business.
void close_others(const Launcher& l, const int* fds, int count) {
  int kept[kMaxRequestFds + 2];
  int n = 0;
  for (int i = 0; i < count + 2; i++) {
    int fd = i < count ? fds[i] : i == count ? l.births[1] : l.janitor.socket;
    int at = n++;
    for (; at > 0 && kept[at - 1] > fd; at--) kept[at] = kept[at - 1];
    kept[at] = fd;
  }
  unsigned from = kControlFd;
  for (int i = 0; i < n; i++) {
    auto fd = static_cast<unsigned>(kept[i]);
    if (fd > from) sys_close_range(from, fd - 1, 0);
    from = fd + 1;
  }
  sys_close_range(from, ~0u, 0);
}

[[noreturn]] void run_maker(Launcher* l, const int* fds, int count, const uint8_t* plan, size_t size) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // Ignored signals stay ignored across exec, ours and those that whoever started Node has ignored.
  for (int number = 1; number < NSIG; number++) {
    struct sigaction action;
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) signal(number, SIG_DFL);
  }
  close_others(*l, fds, count);
  setrlimit(RLIMIT_NOFILE, &l->nofile);
  Context ctx = {};
  for (int& slot : ctx.slots) slot = -1;
  ctx.status_fd = fds[0];
  ctx.births_fd = l->births[1];
  ctx.janitor_fd = l->janitor.socket;
  ctx.call = "start";
  for (int i = 1; i < count; i++) ctx.slots[i - 1] = fds[i];
  run_plan(&ctx, plan, size);
}

void clone_request(Launcher* l, const RequestHeader& request, const int* fds, int count, size_t size) {
  if (count < 1 || l->maker_count >= kMaxMakers) return;  // Node sees the end of the status socket
  const uint8_t* plan = l->message + sizeof request;
  pid_t pid = fork();
  if (pid == 0) {
    if ((request.flags & kPlanInMemfd) != 0) {
      int memfd = fds[--count];
      off_t length = count < 1 ? -1 : lseek(memfd, 0, SEEK_END);
      if (length <= 0) _exit(127);
      size = static_cast<size_t>(length);
      void* map = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, memfd, 0);
      if (map == MAP_FAILED) _exit(127);
      plan = static_cast<const uint8_t*>(map);
    }
    run_maker(l, fds, count, plan, size);
  }
  if (pid > 0) {
    l->makers[l->maker_count++] = pid;
  } else {
    Context ctx = {};
    ctx.status_fd = fds[0];
    ctx.call = "fork";
    send_status(&ctx, kStatusFailed, errno, -1);
  }
}

void cleanup_request(Launcher* l, const uint8_t* data, size_t size) {
  auto* grown = static_cast<char*>(realloc(l->cleanup, l->cleanup_size + size + 1));
  if (grown == nullptr) return;
  memcpy(grown + l->cleanup_size, data, size);
  l->cleanup_size += size;
  grown[l->cleanup_size++] = 0;
  l->cleanup = grown;
}

size_t kill_attached(Launcher* l) {
  size_t attached = 0;
  for (size_t i = 0; i < l->container_count; i++) {
    if (supervisor_detached(l->containers[i])) continue;
    kill(l->containers[i], SIGKILL);
    attached++;
  }
  return attached;
}

// SIGCHLD is blocked, so none gets lost before this.
void wait_for_child(int ms) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  timespec time = {ms / 1000, ms % 1000 * 1'000'000L};
  sigtimedwait(&set, nullptr, &time);
}

// Node is gone. Everything that belongs to it goes too, but for what cannot die: what the freezer of cgroup v1 holds in
// a container of somebody else ends when that goes on.
void end_attached(Launcher* l) {
  drain_births(l);
  int waited_ms = 0;
  while ((kill_attached(l) > 0 || l->maker_count > 0) && waited_ms < kPatienceMs) {
    int status;
    rusage usage;
    pid_t pid = next_ended(l, WNOHANG, &status, &usage);
    if (pid < 0) break;
    if (pid == 0) {
      wait_for_child(kWaitMs);
      waited_ms += kWaitMs;
      // On the way into a container that is frozen. At work they take milliseconds.
      for (int i = 0; waited_ms >= kMakerPatienceMs && i < l->maker_count; i++) kill(l->makers[i], SIGKILL);
      continue;
    }
    waited_ms = 0;
    // A maker that was at work may have left one more child.
    drain_births(l);
    if (take(l->makers, static_cast<size_t>(l->maker_count), pid)) {
      l->maker_count--;
      continue;
    }
    if (take(l->containers, l->container_count, pid)) {
      l->container_count--;
    } else {
      l->early[l->next_early++ % 64] = pid;
    }
    // Node may have closed its side only for writing.
    report_exit(pid, status, usage);
    janitor_exited(&l->janitor, pid);
  }
  janitor_flush(&l->janitor, true);
}

[[noreturn]] void finish(Launcher* l) {
  supervisor_finish();
  janitor_flush(&l->janitor, true);
  close(l->janitor.socket);
  waitpid(l->janitor.pid, nullptr, 0);
  for (size_t at = 0; at < l->cleanup_size; at += strlen(l->cleanup + at) + 1) remove_entry(l->cleanup + at);
  _exit(0);
}

// Goes on for the detached containers, if there are any. What Node registered is removed now.
void node_gone(Launcher* l) {
  end_attached(l);
  if (supervisor_detached_count() == 0) finish(l);
  for (size_t at = 0; at < l->cleanup_size; at += strlen(l->cleanup + at) + 1) {
    janitor_remove(&l->janitor, l->cleanup + at, strlen(l->cleanup + at) + 1);
  }
  l->cleanup_size = 0;
  ExitEvent staying = {};
  send(kControlFd, &staying, sizeof staying, MSG_NOSIGNAL);
  // The number stays taken: nothing else may become descriptor 3.
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0) {
    dup3(null, kControlFd, O_CLOEXEC);
    close(null);
  }
}

// Returns whether the descriptors are taken over.
bool supervise_request(Launcher* l, const uint8_t* message, size_t size, const int* fds, int count) {
  pid_t pid = supervise(message, size, fds, count);
  if (pid <= 0) return false;
  drain_births(l);
  for (size_t i = 0; i < l->container_count; i++) {
    if (l->containers[i] == pid) return true;
  }
  // Killed while it waited, and reaped before we were told of it: nobody else will record its end.
  supervisor_exited(pid, SIGKILL, {}, &l->janitor);
  return true;
}

// Returns false at end of file.
bool receive(Launcher* l) {
  iovec part = {l->message, sizeof l->message};
  PassedFds<kMaxRequestFds> passed;
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  passed.expect(&header);
  ssize_t n = recvmsg(kControlFd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return false;
  int fds[kMaxRequestFds];
  int count = passed.take(&header, fds);
  // Node sees the ends of the sockets that it sent along.
  if (count < 0) return true;
  if (static_cast<size_t>(n) >= sizeof(RequestHeader)) {
    RequestHeader request;
    memcpy(&request, l->message, sizeof request);
    size_t size = static_cast<size_t>(n) - sizeof request;
    if (request.kind == kRequestClone) clone_request(l, request, fds, count, size);
    if (request.kind == kRequestRemove) janitor_remove(&l->janitor, l->message + sizeof request, size);
    if (request.kind == kRequestSupervise && supervise_request(l, l->message + sizeof request, size, fds, count))
      count = 0;
    if (request.kind == kRequestCleanup) cleanup_request(l, l->message + sizeof request, size);
  }
  for (int i = 0; i < count; i++) close(fds[i]);
  return true;
}

int run() {
  prctl(PR_SET_NAME, "wherry-launcher", 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  sys_close_range(4, ~0u, 0);
  setsid();
  // Modes are stated everywhere; what Node's was must not decide what containers see, nor who can read their logs.
  umask(0);
  if (chdir("/") != 0) return 1;
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  if (null > 3) close(null);
  fcntl(kControlFd, F_SETFD, FD_CLOEXEC);

  static Launcher launcher;
  if (pipe2(launcher.births, O_CLOEXEC | O_NONBLOCK) != 0) return 1;
  getrlimit(RLIMIT_NOFILE, &launcher.nofile);
  rlimit most = {launcher.nofile.rlim_max, launcher.nofile.rlim_max};
  setrlimit(RLIMIT_NOFILE, &most);
  for (int ignored : kIgnored) signal(ignored, SIG_IGN);
  if (!start_janitor(&launcher.janitor)) return 1;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  int streams = supervisor_open();
  if (signals < 0 || streams < 0) return 1;

  bool has_node = true;
  for (;;) {
    bool late = launcher.janitor.size > 0;
    pollfd polled[] = {{has_node ? kControlFd : -1, POLLIN, 0},
                       {signals, POLLIN, 0},
                       {streams, POLLIN, 0},
                       {launcher.janitor.socket, POLLOUT, 0}};
    if (poll(polled, late ? 4 : 3, supervisor_timeout()) < 0 && errno != EINTR) return 1;
    supervisor_expire();
    if (late && polled[3].revents != 0) janitor_flush(&launcher.janitor, false);
    if (polled[2].revents != 0) supervisor_pump();
    if ((polled[1].revents & POLLIN) != 0) {
      signalfd_siginfo info;
      while (read(signals, &info, sizeof info) > 0) {
      }
      reap(&launcher);
    }
    if (polled[0].revents != 0 && !receive(&launcher)) {
      node_gone(&launcher);
      has_node = false;
    }
    if (!has_node && supervisor_detached_count() == 0) finish(&launcher);
  }
}

}  // namespace
}  // namespace wherry

int main() { return wherry::run(); }
