// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { Container } from '../../lib/container.ts'
import { eachSetting, useFixture } from './rootfs.ts'

const fixture = useFixture()

eachSetting(fixture, 'gives a terminal to the program', async ({ run, sh, probe }) => {
  const script = '[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; tty; echo $TERM'
  assert.equal(await sh(script, { tty: true }), 'all\r\n/dev/pts/0\r\nxterm\r\n')
  assert.equal((await run([probe, 'pid'], { tty: true })).stdout, 'pid=1 ppid=0 sid=1 pgrp=1 tty=1\r\n')
  assert.equal(await sh('[ -t 0 ] || [ -t 1 ] || echo none'), 'none\n')
  // The controlling terminal, and the place where programs look for it.
  assert.equal(await sh('echo direct > /dev/tty; echo console > /dev/console', { tty: true }), 'direct\r\nconsole\r\n')
})

eachSetting(fixture, 'both outputs are one stream', async ({ run }) => {
  const { stdout, stderr } = await run(['/bin/sh', '-c', 'echo out; echo err >&2'], { tty: true })
  assert.equal(stdout, 'out\r\nerr\r\n')
  assert.equal(stderr, '')
})

eachSetting(fixture, 'the terminal has a size', async ({ sh }) => {
  const [rows, columns] = (await sh('stty size', { tty: true })).trim().split(' ').map(Number)
  assert.ok((rows ?? 0) >= 0 && (columns ?? 0) >= 0, 'two numbers')
})

eachSetting(fixture, 'typed text is echoed, and its end is the end', async ({ run, probe }) => {
  const { stdout } = await run([probe, 'cat'], { tty: true, input: 'typed\n' })
  assert.equal(stdout.replaceAll('^D', '').replaceAll('\b', ''), 'typed\r\ntyped\r\n')
})

eachSetting(
  fixture,
  'an interrupt that is typed reaches the foreground',
  async ({ image, userns, fixture: { engine } }) => {
    const stdout = new PassThrough()
    const stdin = new Readable({ read: () => undefined })
    const script = 'trap "echo interrupted; exit 7" INT; echo ready; while :; do sleep 0.1; done'
    let seen = ''
    stdout.on('data', (chunk: Buffer) => {
      if (!seen.includes('ready') && chunk.includes('ready')) stdin.push('\x03')
      seen += String(chunk)
    })
    const options = { engine, userns, tty: true, stdin, stdout, reject: false, timeoutMs: 60_000 } as const
    const { exitCode } = await Container.run(image, ['/bin/sh', '-c', script], options)
    assert.equal(exitCode, 7)
    assert.match(seen, /interrupted/)
  },
)

eachSetting(fixture, 'a terminal with a lot of output loses nothing', async ({ sh }) => {
  const lines = (await sh('seq 1 20000', { tty: true })).split('\r\n')
  assert.equal(lines.length, 20_001)
  assert.equal(lines[19_999], '20000')
})

eachSetting(fixture, 'a terminal works for another user too', async ({ run, kind, probe }) => {
  const user = kind === 'host' ? 'nobody' : 'alice'
  const { stdout } = await run([probe, 'owner', '/dev/pts/0'], { tty: true, user })
  assert.match(stdout, /^\d+:5\r\n$/)
  assert.equal((await run(['/bin/sh', '-c', 'echo ok > /dev/tty'], { tty: true, user })).stdout, 'ok\r\n')
})

eachSetting(
  fixture,
  'a terminal that nobody reads any more hangs up',
  async ({ image, userns, fixture: { engine } }) => {
    const stdout = new PassThrough()
    stdout.once('data', () => stdout.destroy())
    const options = { engine, userns, tty: true, stdout, reject: false, timeoutMs: 10_000 } as const
    const { timedOut } = await Container.run(image, ['/bin/sh', '-c', 'while echo line; do :; done'], options)
    assert.equal(timedOut, false)
  },
)
