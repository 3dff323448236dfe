// SPDX-License-Identifier: MIT
// Many runs at once: each gets its own answer.
import assert from 'node:assert/strict'
import { leavesNothing } from '../helpers/leftovers.ts'
import { eachSetting, useFixture } from './rootfs.ts'

const fixture = useFixture()

eachSetting(fixture, 'runs 50 at a time, 200 in all', async ({ run, userns, kind }) => {
  // One run first: the launcher, and what is kept prepared, are no leftovers.
  await run(['true'])
  const script = 'read LINE; echo "$LINE $N $HOSTNAME" > /tmp/own; cat /tmp/own; echo "err $N" >&2; exit $((N % 7))'
  const one = async (n: number): Promise<void> => {
    // Every tenth one is of a kind that no other run has, and cannot be prepared ahead.
    const hostname = n % 10 === 0 ? `h${n}` : undefined
    const options = { input: `line ${n}\n`, env: { N: String(n) }, hostname, reject: false }
    const result = await run(['/bin/sh', '-c', script], options)
    const name = hostname ?? result.id.slice(0, 12)
    assert.deepEqual(
      [result.stdout, result.stderr, result.exitCode],
      [`line ${n} ${n} ${name}\n`, `err ${n}\n`, n % 7],
      `run ${n} of ${kind}, ${userns}`,
    )
  }
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < 200) await one(next++)
  }
  await Promise.all(Array.from({ length: 50 }, worker))
})

eachSetting(fixture, 'mixes failures, aborts and successes', async ({ run }) => {
  const kinds = [
    async () => assert.equal((await run(['echo', 'fine'])).stdout, 'fine\n'),
    async () => assert.rejects(run(['no-such-program']), { exitCode: 127 }),
    async () => assert.rejects(run(['sleep', '60'], { timeoutMs: 50 }), { code: 'ERR_TIMEOUT' }),
    async () => assert.rejects(run(['sleep', '60'], { signal: AbortSignal.timeout(30) }), { name: 'TimeoutError' }),
    async () => assert.rejects(run(['true'], { cwd: '/etc/passwd' }), { exitCode: 125 }),
    async () => assert.rejects(run(['true'], { user: 'nobody-at-all' }), { code: 'ERR_NOT_FOUND' }),
    async () => assert.rejects(run(['/bin/sh', '-c', 'exit 4']), { exitCode: 4 }),
  ]
  await run(['true'])
  const all = async (): Promise<void> => {
    await Promise.all(Array.from({ length: 42 }, (_, i) => kinds[i % kinds.length]?.()))
  }
  await all()
  await leavesNothing(async () => {
    await fixture.engine.store.idle()
  })
})
