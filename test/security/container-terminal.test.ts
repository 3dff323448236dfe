// SPDX-License-Identifier: MIT
// CVE-2017-5226: TIOCSTI types into the terminal that the caller shares with the container.
// Meant to fail so (not tried): without the steps setsid and controlling_tty the terminal of the caller is the container's controlling one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { needs } from '../helpers/needs.ts'
import { runChild } from '../helpers/run-child.ts'
import { needsContainers } from '../integration/rootfs.ts'
import { useAttack } from './container-attacks.ts'

const kProgram = `
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
int main(void) {
  int own = open("/dev/tty", O_RDWR);
  printf("tty %s\\n", own < 0 ? strerror(errno) : "opened");
  printf("session %d\\n", (int)getsid(0));
  for (int fd = 0; fd < 3; fd++) {
    printf("steal %s\\n", ioctl(fd, TIOCSCTTY, 1) != 0 ? strerror(errno) : "STOLEN");
    for (const char* at = "echo typed\\n"; *at; at++)
      if (ioctl(fd, TIOCSTI, at) == 0) printf("TYPED\\n");
  }
  return 0;
}`

const attack = useAttack({ program: kProgram })

for (const userns of ['auto', 'host'] as const) {
  test(`the caller's terminal cannot be typed into (userns ${userns})`, async (t) => {
    if (!needsContainers(t) || !needs(t, 'command:script')) return
    const lib = (name: string): string => JSON.stringify(new URL(`../../lib/${name}.js`, import.meta.url))
    const source = `
      const { Container } = await import(${lib('container')})
      const { Engine } = await import(${lib('engine')})
      const engine = await Engine.open({ root: ${JSON.stringify(attack.engine.root)} })
      const result = await Container.run('attack', ['/attack'], { engine, userns: '${userns}', stdin: 'inherit', stderr: 'inherit', reject: false })
      console.log(process.stdin.isTTY + ' ' + result.stdout)
      await engine.close()`
    const command = `"$NODE" --input-type=module --eval "$SOURCE"`
    const env = { ...process.env, NODE: process.execPath, SOURCE: source }
    const { stdout } = await runChild('script', ['-qec', command, '/dev/null'], { env, timeoutMs: 20_000 })
    assert.match(stdout, /true tty No such device or address/, stdout)
    assert.doesNotMatch(stdout, /TYPED|STOLEN/)
  })

  test(`a container with a terminal has its own (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const { stdout } = await attack.run(['/bin/sh', '-c', 'tty; ls -1 /dev/pts; /attack | grep ^tty'], {
      userns,
      tty: true,
    })
    assert.match(stdout, /^\/dev\/pts\/0\r\n0\r\nptmx\r\n[\s\S]*tty opened/)
  })
}
