// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { compileSeccomp } from '../../../lib/oci/seccomp/compile-seccomp.ts'
import { defaultSeccompProfile, selectSeccomp } from '../../../lib/oci/seccomp-profile.ts'
import { needs } from '../../helpers/needs.ts'
import { withCProgram } from './c-program.ts'

/** Loads the filter on its standard input, makes some system calls, and prints what each answered: 0 or the errno. */
const kLoader = `
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static struct sock_filter filter[4096];
#define SHOW(name, ...) do { errno = 0; printf(name " %d\\n", syscall(__VA_ARGS__) < 0 ? errno : 0); } while (0)
int main(void) {
  size_t count = fread(filter, sizeof filter[0], 4096, stdin);
  struct sock_fprog program = {.len = count, .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 2;
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return 3;
  SHOW("getppid", SYS_getppid);
  SHOW("unshare", SYS_unshare, CLONE_NEWUSER);
  SHOW("clone-newuser", SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  SHOW("clone3", 435, 0, 0);
  SHOW("mount", SYS_mount, 0, 0, 0, 0, 0);
  SHOW("keyctl", SYS_keyctl, 0, 0, 0, 0, 0);
  SHOW("io_uring_setup", 425, 1, 0);
  SHOW("bpf", SYS_bpf, 0, 0, 0);
  SHOW("personality-query", SYS_personality, 0xffffffffUL);
  SHOW("personality-no-randomize", SYS_personality, 0x0040000UL);
  SHOW("socket-unix", SYS_socket, AF_UNIX, SOCK_STREAM, 0);
  SHOW("socket-alg", SYS_socket, 38, SOCK_SEQPACKET, 0);
  SHOW("socket-vsock", SYS_socket, 40, SOCK_STREAM, 0);
  SHOW("unknown", 4000);
#ifdef __x86_64__
  SHOW("x32-getpid", 0x40000000 + 39);
#endif
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) _exit(7);
  int status = 0;
  if (waitpid(child, &status, 0) != child) return 4;
  printf("fork %d\\n", WEXITSTATUS(status));
  return 0;
}
`

const kEperm = 1
const kEnosys = 38

test('the kernel takes the default filter, and it answers as written', (t) => {
  if (!needs(t, 'command:cc')) return
  const arch = process.arch === 'arm64' ? 'arm64' : 'x64'
  const seccomp = selectSeccomp(defaultSeccompProfile(), { arch, capabilities: [], kernel: '6.1' })
  withCProgram(kLoader, [], (path) => {
    const { status, stdout, signal } = spawnSync(path, { input: compileSeccomp(seccomp, arch) })
    assert.deepEqual({ status, signal }, { status: 0, signal: null })
    const answers = Object.fromEntries(
      stdout
        .toString()
        .trim()
        .split('\n')
        .map((line) => line.split(' ')),
    )
    assert.deepEqual(answers, {
      getppid: '0',
      unshare: `${kEperm}`,
      'clone-newuser': `${kEperm}`,
      clone3: `${kEnosys}`,
      mount: `${kEperm}`,
      keyctl: `${kEperm}`,
      io_uring_setup: `${kEperm}`,
      bpf: `${kEperm}`,
      'personality-query': '0',
      'personality-no-randomize': `${kEperm}`,
      'socket-unix': '0',
      'socket-alg': `${kEperm}`,
      'socket-vsock': `${kEperm}`,
      unknown: `${kEnosys}`,
      ...(arch === 'x64' ? { 'x32-getpid': `${kEnosys}` } : {}),
      fork: '7',
    })
  })
})
