// SPDX-License-Identifier: MIT
// Steps about the process itself: its namespaces, descriptors, terminal, working directory, and the program it becomes.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "init.h"
#include "protocol.h"
#include "steps.h"
#include "sys.h"

namespace wherry {
namespace {

constexpr int kMaxArguments = 1 << 17;
constexpr unsigned kPtmxMajor = 5, kPtmxMinor = 2;

// Splits NUL-terminated pieces in place into a NULL-terminated array.
char** split(Text blob, int* count) {
  int n = 0;
  for (uint32_t i = 0; i < blob.size; i++) n += blob.data[i] == 0;
  if (n > kMaxArguments) return nullptr;
  // Never freed: exec or exit follows.
  auto** out = static_cast<char**>(malloc(sizeof(char*) * (static_cast<size_t>(n) + 1)));
  if (out == nullptr) return nullptr;
  const char* at = blob.data;
  for (int i = 0; i < n; i++) {
    out[i] = const_cast<char*>(at);
    at += strlen(at) + 1;
  }
  out[n] = nullptr;
  *count = n;
  return out;
}

// As execvp(3): the first candidate that can be run; EACCES is remembered while others are tried.
int exec_search(Context* ctx, const char* file, char** argv, char** env, const char* path) {
  int remembered = ENOENT;
  char candidate[PATH_MAX];
  for (const char* at = path;; at++) {
    size_t length = strcspn(at, ":");
    const char* dir = length == 0 ? "." : at;
    size_t dir_length = length == 0 ? 1 : length;
    if (dir_length + strlen(file) + 2 <= sizeof candidate) {
      memcpy(candidate, dir, dir_length);
      candidate[dir_length] = '/';
      strcpy(candidate + dir_length + 1, file);
      execve(candidate, argv, env);
      if (errno == EACCES) {
        struct stat st;
        if (stat(candidate, &st) == 0 && !S_ISDIR(st.st_mode)) remembered = EACCES;
      } else if (errno != ENOENT && errno != ENOTDIR) {
        return check(ctx, "execve", -1);
      } else if (access(candidate, F_OK) == 0) {
        ctx->call = "execve (interpreter)";
        return -ENOENT;
      }
    }
    at += length;
    if (*at == 0) break;
  }
  ctx->call = "execve (search)";
  return -remembered;
}

// A running container may have put something else in its place, and Node will read and write what is handed over.
bool is_ptmx(int fd) {
  struct stat st;
  struct statfs fs;
  return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(kPtmxMajor, kPtmxMinor) &&
         fstatfs(fd, &fs) == 0 && fs.f_type == DEVPTS_SUPER_MAGIC;
}

}  // namespace

WHERRY_STEP(unshare) { return check(ctx, "unshare", unshare(static_cast<int>(step.integer(0)))); }

// slot of a pidfd or of a namespace's descriptor, namespace flags, 1: paths stay what they are
WHERRY_STEP(setns) {
  int result = check(ctx, "setns", setns(slot_fd(ctx, step.integer(0)), static_cast<int>(step.integer(1))));
  bool only_network = step.int_count > 2 && step.integer(2) != 0;
  ctx->entered = ctx->entered || (result == 0 && !only_network);
  return result;
}

// signal. The parent may have died before the call: then nobody would ever send it.
WHERRY_STEP(pdeathsig) {
  int result = check(ctx, "prctl(PR_SET_PDEATHSIG)", prctl(PR_SET_PDEATHSIG, step.integer(0), 0, 0, 0));
  char byte;
  ssize_t n = recv(ctx->status_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (result == 0 && n == 0) _exit(0);
  return result;
}

WHERRY_STEP(dumpable) { return check(ctx, "prctl(PR_SET_DUMPABLE)", prctl(PR_SET_DUMPABLE, step.integer(0), 0, 0, 0)); }

WHERRY_STEP(setsid) {
  (void)step;
  return setsid() < 0 && errno != EPERM ? check(ctx, "setsid", -1) : 0;
}

WHERRY_STEP(sethostname) { return check(ctx, "sethostname", sethostname(step.text(0).data, step.text(0).size)); }

WHERRY_STEP(setdomainname) { return check(ctx, "setdomainname", setdomainname(step.text(0).data, step.text(0).size)); }

WHERRY_STEP(loopback_up) {
  (void)step;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return check(ctx, "socket", -1);
  ifreq request = {};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  int result = check(ctx, "ioctl(SIOCSIFFLAGS)", ioctl(fd, SIOCSIFFLAGS, &request));
  close(fd);
  return result;
}

WHERRY_STEP(umask) {
  (void)ctx;
  umask(static_cast<mode_t>(step.integer(0)));
  return 0;
}

// 1 to create what is missing; path. Afterwards the directory is proved to be inside the root (CVE-2024-21626).
WHERRY_STEP(chdir) {
  const char* path = step.text(0).data;
  if (step.integer(0) != 0) {
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) return check(ctx, "open", -1);
    int fd = open_target(root, path, true);
    close(root);
    ctx->call = "mkdir";
    if (fd < 0) return fd;
    close(fd);
  }
  int result = check(ctx, "chdir", chdir(path));
  if (result != 0) return result;
  char cwd[PATH_MAX];
  long n = syscall(SYS_getcwd, cwd, sizeof cwd);
  if (n < 0) return check(ctx, "getcwd", -1);
  ctx->call = "getcwd (outside the root)";
  return cwd[0] == '/' ? 0 : -EXDEV;
}

// Goes on in a child, which is an orphan at once: a child of its pid namespace's process 1. Whoever waits for this
// process sees it end; the status socket goes with the child. Returns when it has its new parent: a death signal that
// is asked for later must not be about the old one.
WHERRY_STEP(fork) {
  (void)step;
  pid_t parent = getpid();
  pid_t pid = fork();
  if (pid < 0) return check(ctx, "fork", -1);
  if (pid > 0) _exit(0);
  timespec moment = {0, 50'000};
  while (getppid() == parent) nanosleep(&moment, nullptr);
  return 0;
}

// slot, descriptor number (0, 1 or 2)
WHERRY_STEP(stdio) {
  return check(ctx, "dup2", dup2(slot_fd(ctx, step.integer(0)), static_cast<int>(step.integer(1))));
}

WHERRY_STEP(controlling_tty) {
  return check(ctx, "ioctl(TIOCSCTTY)", ioctl(static_cast<int>(step.integer(0)), TIOCSCTTY, 0));
}

// slot for the slave, slot of the devpts directory, rows, columns; name of ptmx in it. The master goes to Node.
WHERRY_STEP(open_pty) {
  int master = open_in_root(slot_fd(ctx, step.integer(1)), step.text(0).data, O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
  ctx->call = "open ptmx";
  if (master < 0) return master;
  int unlock = 0;
  int result = is_ptmx(master) ? 0 : -ENOTTY;
  if (result == 0) result = check(ctx, "ioctl(TIOCSPTLCK)", ioctl(master, TIOCSPTLCK, &unlock));
  winsize size = {static_cast<unsigned short>(step.integer(2)), static_cast<unsigned short>(step.integer(3)), 0, 0};
  if (result == 0) result = check(ctx, "ioctl(TIOCSWINSZ)", ioctl(master, TIOCSWINSZ, &size));
  int slave = result == 0 ? ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
  if (result == 0 && slave < 0) result = check(ctx, "ioctl(TIOCGPTPEER)", -1);
  if (result == 0) {
    set_slot(ctx, step.integer(0), slave);
    send_status(ctx, kStatusPty, 0, master);
  }
  close(master);
  return result;
}

// Leaves 0, 1, 2 and the status socket, which becomes 3 and closes on exec. No descriptor of the host passes this.
WHERRY_STEP(close_others) {
  (void)step;
  if (ctx->status_fd != 3) {
    if (dup3(ctx->status_fd, 3, O_CLOEXEC) < 0) return check(ctx, "dup3", -1);
    ctx->status_fd = 3;
  }
  for (int& slot : ctx->slots) slot = -1;
  if (sys_close_range(4, ~0u, 0) == 0) return 0;
  if (errno != ENOSYS) return check(ctx, "close_range", -1);
  long limit = sysconf(_SC_OPEN_MAX);
  for (int fd = 4; fd < (limit > 0 && limit < 65536 ? limit : 65536); fd++) close(fd);
  return 0;
}

WHERRY_STEP(init) {
  (void)step;
  int result = start_init(ctx->status_fd);
  ctx->call = "fork";
  return result;
}

// strings: file, arguments, environment (NUL-terminated pieces), search path
WHERRY_STEP(exec) {
  int argc = 0, envc = 0;
  char** argv = split(step.text(1), &argc);
  char** env = split(step.text(2), &envc);
  ctx->call = "execve";
  if (argv == nullptr || env == nullptr || argc == 0) return -E2BIG;
  const char* file = step.text(0).data;
  if (strchr(file, '/') == nullptr) return exec_search(ctx, file, argv, env, step.text(3).data);
  execve(file, argv, env);
  int error = errno;
  struct stat st;
  if (error == ENOENT && stat(file, &st) == 0) ctx->call = "execve (interpreter)";
  if (error == EACCES && stat(file, &st) == 0 && S_ISDIR(st.st_mode)) error = EISDIR;
  return -error;
}

}  // namespace wherry
