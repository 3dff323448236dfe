// SPDX-License-Identifier: MIT
#include "init.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

#include "sys.h"

namespace wherry {
namespace {

// Signals that the kernel raises for a fault of process 1 itself must keep their effect.
void signals_to_forward(sigset_t* set) {
  sigfillset(set);
  for (int fault : {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU}) sigdelset(set, fault);
}

[[noreturn]] void run_init(pid_t child, const sigset_t* set) {
  prctl(PR_SET_NAME, "wherry-init", 0, 0, 0);
  for (;;) {
    siginfo_t info;
    if (sigwaitinfo(set, &info) < 0) continue;
    if (info.si_signo != SIGCHLD) {
      kill(child, info.si_signo);
      continue;
    }
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
      if (pid != child) continue;
      // Process 1 cannot die by a signal of its own namespace: 128 + n, as shells report it.
      _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
  }
}

}  // namespace

int start_init(int status_fd) {
  sigset_t set, old;
  signals_to_forward(&set);
  sigprocmask(SIG_BLOCK, &set, &old);
  pid_t child = fork();
  if (child < 0) return -errno;
  if (child == 0) {
    sigprocmask(SIG_SETMASK, &old, nullptr);
    // Its own group in the foreground, so that Ctrl-C reaches the program and not only process 1.
    setpgid(0, 0);
    if (isatty(0)) {
      signal(SIGTTOU, SIG_IGN);
      tcsetpgrp(0, getpid());
      signal(SIGTTOU, SIG_DFL);
    }
    return 0;
  }
  close(status_fd);
  // Streams belong to the program: a reader must see their end when the program closes them.
  for (int fd = 0; fd < 3; fd++) close(fd);
  run_init(child, &set);
}

}  // namespace wherry
