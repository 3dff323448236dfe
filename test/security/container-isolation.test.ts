// SPDX-License-Identifier: MIT
// Ways around files: keyrings, System V and POSIX IPC, abstract sockets, netlink, other processes.
// Meant to fail so (not tried): `network: 'host'` lets the abstract socket through (shown below); without the step session_keyring the key of the
// host's session is found.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { needs } from '../helpers/needs.ts'
import { needsContainers } from '../integration/rootfs.ts'
import { useAttack } from './container-attacks.ts'

const kProgram = `
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/netlink.h>
static void say(const char* what, long result) { printf("%s %s\\n", what, result < 0 ? strerror(errno) : "GOT"); }
int main(int argc, char** argv) {
  if (strcmp(argv[1], "shm") == 0) say("shmget", shmget(atoi(argv[2]), 0, 0));
  if (strcmp(argv[1], "socket") == 0) {
    struct sockaddr_un a = {AF_UNIX};
    strcpy(a.sun_path + 1, argv[2]);
    // Node takes the rest of the buffer as part of the name, or does not, by its version.
    long result = connect(socket(AF_UNIX, SOCK_STREAM, 0), (void*)&a, 3 + strlen(argv[2]));
    if (result < 0) result = connect(socket(AF_UNIX, SOCK_STREAM, 0), (void*)&a, sizeof a);
    say("connect", result);
  }
  if (strcmp(argv[1], "key") == 0) {
    say("request_key", syscall(SYS_request_key, "user", argv[2], NULL, 0));
    say("keyctl_search", syscall(SYS_keyctl, 10, -3, "user", argv[2], 0));
    say("keyctl_read", syscall(SYS_keyctl, 11, -4, NULL, 0));
  }
  if (strcmp(argv[1], "uevent") == 0) {
    struct sockaddr_nl a = {AF_NETLINK, 0, 0, ~0u};
    say("uevent", bind(socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT), (void*)&a, sizeof a));
  }
  if (strcmp(argv[1], "ptrace") == 0) {
    int pid = atoi(argv[2]);
    char path[64];
    say("ptrace", ptrace(PTRACE_SEIZE, pid, 0, 0));
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    say("mem", open(path, O_RDWR));
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    say("environ", open(path, O_RDONLY));
    snprintf(path, sizeof path, "/proc/%d/root/etc", pid);
    say("root", open(path, O_RDONLY));
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", pid);
    say("namespace", open(path, O_RDONLY));
  }
  return 0;
}`

const attack = useAttack({ program: kProgram })

for (const userns of ['auto', 'host'] as const) {
  test(`System V shared memory of the host (userns ${userns})`, async (t) => {
    if (!needsContainers(t) || !needs(t, 'command:ipcmk')) return
    const id = /(\d+)\s*$/.exec(execFileSync('ipcmk', ['-M', '4096', '-p', '0666'], { encoding: 'utf8' }))?.[1] ?? ''
    try {
      const key = execFileSync('ipcs', ['-m'], { encoding: 'utf8' })
        .split('\n')
        .find((line) => line.split(/\s+/)[1] === id)
      const number = Number(key?.split(/\s+/)[0])
      assert.ok(number > 0 || number < 0, 'the segment is there')
      assert.equal(await attack.sh(`/attack shm ${number | 0}`, { userns }), 'shmget No such file or directory\n')
    } finally {
      execFileSync('ipcrm', ['-m', id])
    }
  })

  test(`abstract sockets of the host (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const name = `wherry-attack-${process.pid}-${userns}`
    const server = createServer((socket) => socket.destroy())
    await new Promise<void>((resolve) => server.listen(`\0${name}`, resolve))
    try {
      assert.equal(await attack.sh(`/attack socket ${name}`, { userns }), 'connect Connection refused\n')
      assert.equal(await attack.sh(`/attack socket ${name}`, { userns, network: 'host' }), 'connect GOT\n')
    } finally {
      server.close()
    }
  })

  test(`the network of the host (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    assert.match(await attack.sh('tail -n +3 /proc/net/dev', { userns }), /^\s*lo:[^\n]*\n$/)
    assert.equal(
      await attack.sh("tail -n +2 /proc/net/route; cat /proc/net/unix | grep -c '^[0-9a-f]*:'", { userns }),
      '0\n',
    )
  })

  test(`the keyring of the host's session (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    // With and without the filter, which forbids the calls before the keyring is asked.
    for (const seccomp of ['default', 'unconfined'] as const) {
      const output = await attack.sh('/attack key wherry-attack-key', { userns, seccomp })
      assert.doesNotMatch(output, /request_key GOT|keyctl_search GOT/)
      if (seccomp === 'default') assert.doesNotMatch(output, /GOT/)
    }
  })

  test(`other processes are not there, and the first one keeps to itself (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const listed = await attack.sh("ls /proc | grep '^[0-9]'", { userns })
    assert.ok(
      listed
        .trim()
        .split('\n')
        .every((pid) => Number(pid) < 10),
      listed,
    )
    // wherry's own process of a container with `init`: not dumpable, so not even the container's root can look into it.
    const output = await attack.sh('/attack ptrace 1', { userns, init: true, seccomp: 'unconfined' })
    assert.doesNotMatch(output, /(mem|environ|root|namespace|ptrace) GOT/, output)
  })
}
