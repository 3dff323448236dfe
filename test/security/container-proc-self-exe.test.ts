// SPDX-License-Identifier: MIT
// CVE-2019-5736: the runtime's own executable, reached through /proc/PID/exe of a process that wherry runs in the container
// (a shebang to /proc/self/exe, or `init`), must not be writable from inside.
// Meant to fail so (not tried): with the seals taken off the memfd the first test overwrites it.
import assert from 'node:assert/strict'
import { readFileSync, readlinkSync } from 'node:fs'
import { test } from 'node:test'
import { needsContainers } from '../integration/rootfs.ts'
import { useAttack } from './container-attacks.ts'

const kOverwrite = `
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
// Opens the executable of PID by each way that could write it.
int main(int argc, char** argv) {
  char path[64], link[256] = "", again[64];
  snprintf(path, sizeof path, "/proc/%s/exe", argc > 1 ? argv[1] : "1");
  if (readlink(path, link, sizeof link - 1) < 0) printf("readlink %s\\n", strerror(errno));
  printf("exe %s\\n", link);
  int read_only = open(path, O_RDONLY);
  printf("read %s\\n", read_only < 0 ? strerror(errno) : "ok");
  snprintf(again, sizeof again, "/proc/self/fd/%d", read_only);
  int writable = open(path, O_RDWR);
  printf("open %s\\n", writable < 0 ? strerror(errno) : "ok");
  if (writable < 0 && read_only >= 0) writable = open(again, O_RDWR);
  printf("reopen %s\\n", writable < 0 ? strerror(errno) : "ok");
  if (writable >= 0) {
    printf("write %s\\n", write(writable, "#!/bin/evil", 11) < 0 ? strerror(errno) : "OVERWRITTEN");
    printf("truncate %s\\n", ftruncate(writable, 0) != 0 ? strerror(errno) : "OVERWRITTEN");
    printf("mmap %s\\n", mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writable, 0) == MAP_FAILED ? strerror(errno) : "OVERWRITTEN");
  }
  return 0;
}`

const attack = useAttack({ program: kOverwrite })

for (const userns of ['auto', 'host'] as const) {
  test(`the first process's executable cannot be overwritten (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const ownNode = readFileSync(process.execPath)
    const output = await attack.sh('/attack 1; /attack self', { init: true, userns })
    assert.match(output, /^exe /m)
    assert.doesNotMatch(output, /OVERWRITTEN/)
    // The next container still starts.
    assert.equal((await attack.run(['/bin/echo', 'on'], { init: true, userns })).stdout, 'on\n')
    assert.ok(readFileSync(process.execPath).equals(ownNode))
  })

  test(`an image that names /proc/self/exe as its program gets no host file (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const result = await attack.run(['/proc/self/exe'], { userns })
    // The launcher started anew without its socket, which does nothing: never a file of the host.
    assert.deepEqual([result.stdout, result.stderr], ['', ''])
    assert.equal((await attack.run(['/bin/echo', 'on'], { userns })).stdout, 'on\n')
  })
}

test('the launcher is a sealed memfd, not a file of the host', async (t) => {
  if (!needsContainers(t)) return
  await attack.run(['/bin/true'])
  const { launcher } = await attack.engine.runtime()
  assert.match(readlinkSync(`/proc/${launcher.pid}/exe`), /^\/memfd:/)
})
