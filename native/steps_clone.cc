// SPDX-License-Identifier: MIT
// The step between maker and child. The maker is a short-lived fork of the launcher that has joined the cgroups; its
// child is born in them, in new namespaces, with the launcher as parent (CLONE_PARENT).
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

#include "janitor.h"
#include "protocol.h"
#include "steps.h"
#include "sys.h"

namespace wherry {
namespace {

constexpr uint64_t kNewUser = 0x10000000, kParent = 0x8000, kPidfd = 0x1000, kIntoCgroup = 0x200000000ull;

// clone3, or clone where a kernel or a sandbox answers ENOSYS. Both return twice.
pid_t do_clone(uint64_t flags, int cgroup, int* pidfd) {
  CloneArgs args = {};
  args.flags = flags | kParent | kPidfd | (cgroup >= 0 ? kIntoCgroup : 0);
  args.pidfd = reinterpret_cast<uint64_t>(pidfd);
  if (cgroup >= 0) args.cgroup = static_cast<uint64_t>(cgroup);
  pid_t pid = sys_clone3(&args);
  if (pid >= 0 || errno != ENOSYS) return pid;
  // clone(2) has no CLONE_INTO_CGROUP: the maker joins first and the child inherits.
  if (cgroup >= 0 && write_file_at(cgroup, "cgroup.procs", "0", 1, 0, 0) != 0) return -1;
  pid = static_cast<pid_t>(syscall(SYS_clone, flags | kParent | kPidfd | SIGCHLD, nullptr, pidfd, nullptr, nullptr));
  if (pid >= 0 || errno != EINVAL) return pid;
  *pidfd = -1;
  return static_cast<pid_t>(syscall(SYS_clone, flags | kParent | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
}

int write_proc(Context* ctx, pid_t pid, const char* name, Text text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  ctx->call = name;
  return write_file_at(AT_FDCWD, path, text.data, text.size, 0, 0);
}

// Runs newuidmap(1) or newgidmap(1), which have the privilege that an ordinary user lacks.
int run_map_helper(Context* ctx, const char* helper, pid_t pid, Text map) {
  char numbers[1024], pid_text[16];
  char* argv[64];
  int argc = 0;
  if (map.size >= sizeof numbers) return -E2BIG;
  memcpy(numbers, map.data, map.size + 1);
  snprintf(pid_text, sizeof pid_text, "%d", pid);
  argv[argc++] = const_cast<char*>(helper);
  argv[argc++] = pid_text;
  char* save = nullptr;
  for (char* word = strtok_r(numbers, " \n", &save); word != nullptr && argc < 62;
       word = strtok_r(nullptr, " \n", &save))
    argv[argc++] = word;
  argv[argc] = nullptr;
  ctx->call = helper;
  pid_t child = fork();
  if (child < 0) return -errno;
  if (child == 0) {
    char* no_env[] = {nullptr};
    char path[64];
    for (const char* dir : {"/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin", "/run/wrappers/bin"}) {
      snprintf(path, sizeof path, "%s/%s", dir, helper);
      execve(path, argv, no_env);
    }
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : -EPERM;
}

int map_ids(Context* ctx, pid_t pid, const Step& step) {
  Text uids = step.text(0), gids = step.text(1);
  const char* how = step.string_count > 2 ? step.text(2).data : "";
  if (strcmp(how, "helper") == 0) {
    int result = run_map_helper(ctx, "newuidmap", pid, uids);
    return result != 0 ? result : run_map_helper(ctx, "newgidmap", pid, gids);
  }
  // Without privilege the kernel wants setgroups off before it accepts a group map (user_namespaces(7)).
  if (strcmp(how, "deny") == 0) {
    int result = write_proc(ctx, pid, "setgroups", {"deny", 4});
    if (result != 0) return result;
  }
  int result = write_proc(ctx, pid, "uid_map", uids);
  return result != 0 ? result : write_proc(ctx, pid, "gid_map", gids);
}

int become_container_root(Context* ctx, bool may_set_groups) {
  if (may_set_groups) {
    int result = check(ctx, "setgroups", syscall(SYS_setgroups, 0, nullptr));
    if (result != 0) return result;
  }
  int result = check(ctx, "setresgid", syscall(SYS_setresgid, 0, 0, 0));
  return result != 0 ? result : check(ctx, "setresuid", syscall(SYS_setresuid, 0, 0, 0));
}

// Waits until the maker has mapped the ids. A maker that died closes its end.
int wait_for_maps(Context* ctx, int fd) {
  char byte = 0;
  ssize_t n;
  do {
    n = read(fd, &byte, 1);
  } while (n < 0 && errno == EINTR);
  close(fd);
  ctx->call = "clone (maker died)";
  return n == 1 ? 0 : -ECHILD;
}

// What the child is to be is done by now, and nothing waits for it.
[[noreturn]] void leave_child(Context* ctx, pid_t pid, int pidfd) {
  while (write(ctx->births_fd, &pid, sizeof pid) < 0 && errno == EINTR) {
  }
  // No mount namespace was made that would need holding, and /proc is the container's.
  send_status(ctx, kStatusPid, pid, pidfd);
  _exit(0);
}

[[noreturn]] void finish_maker(Context* ctx, pid_t pid, int pidfd, int gate, const Step& step, bool mapped) {
  while (write(ctx->births_fd, &pid, sizeof pid) < 0 && errno == EINTR) {
  }
  janitor_hold(ctx->janitor_fd, pid);
  int result = mapped ? map_ids(ctx, pid, step) : 0;
  if (result != 0) {
    kill(pid, SIGKILL);
    fail(ctx, -result);
  }
  send_status(ctx, kStatusPid, pid, pidfd);
  while (write(gate, "", 1) < 0 && errno == EINTR) {
  }
  _exit(0);
}

// A child in the namespaces that the maker has entered. Its ids are mapped there already.
int clone_entered(Context* ctx, uint64_t flags, int cgroup) {
  int pidfd = -1;
  pid_t pid = do_clone(flags, cgroup, &pidfd);
  if (pid < 0) return check(ctx, "clone3", -1);
  if (pid > 0) leave_child(ctx, pid, pidfd);
  close(ctx->births_fd);
  close(ctx->janitor_fd);
  return 0;
}

}  // namespace

// flags, v2 cgroup slot (-1: none); uid map, gid map, "" | "deny" | "helper". Returns in the child only.
WHERRY_STEP(clone) {
  auto flags = static_cast<uint64_t>(step.integer(0));
  int cgroup = step.integer(1) < 0 ? -1 : slot_fd(ctx, step.integer(1));
  bool mapped = (flags & kNewUser) != 0 && step.text(0).size > 0;
  if (ctx->entered) return clone_entered(ctx, flags, cgroup);
  int gate[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate) != 0) return check(ctx, "socketpair", -1);
  // The launcher hides from ptrace, which makes /proc/PID of its children root's: an ordinary user could not write the
  // maps. The child hides again by a step of its own.
  if (mapped && geteuid() != 0) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  int pidfd = -1;
  pid_t pid = do_clone(flags, cgroup, &pidfd);
  if (pid < 0) return check(ctx, "clone3", -1);
  if (pid > 0) {
    close(gate[0]);
    finish_maker(ctx, pid, pidfd, gate[1], step, mapped);
  }
  close(gate[1]);
  close(ctx->births_fd);
  close(ctx->janitor_fd);
  int result = wait_for_maps(ctx, gate[0]);
  bool may_set_groups = step.string_count < 3 || strcmp(step.text(2).data, "deny") != 0;
  if (result == 0 && mapped) result = become_container_root(ctx, may_set_groups);
  return result;
}

}  // namespace wherry
