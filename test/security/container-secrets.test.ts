// SPDX-License-Identifier: MIT
// The environment holds secrets: it is never in a command line, an error or a file.
// Meant to fail so (not tried): with the environment among the arguments that describeArguments() shows, the second test fails.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { needsContainers } from '../integration/rootfs.ts'
import { type RunOptions, useAttack } from './container-attacks.ts'

const attack = useAttack()
const secret = `s3cret-${process.pid}-of-the-environment`
const env = { TOKEN: secret }

test('not in a command line, not in a file', async (t) => {
  if (!needsContainers(t)) return
  const stdout = new PassThrough()
  const up = new Promise((resolve) => stdout.once('data', resolve))
  const controller = new AbortController()
  const command = ['/bin/sh', '-c', 'echo up; sleep 60 & wait']
  const run = attack.run(command, { env, stdout, init: true, signal: controller.signal })
  await up
  const lines = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
      } catch {
        return ''
      }
    })
  assert.ok(!lines.some((line) => line.includes(secret)))
  const found = execFileSync('sh', ['-c', `grep -rlF -- '${secret}' '${attack.engine.root}' || true`], {
    encoding: 'utf8',
  })
  assert.equal(found, '')
  controller.abort()
  await assert.rejects(run, { name: 'AbortError' })
})

const kFailures: [name: string, command: readonly string[], options: RunOptions][] = [
  ['missing program', ['/nowhere'], {}],
  ['not in PATH', ['nowhere'], {}],
  ['not executable', ['/bin/not-executable'], {}],
  ['arguments too long', ['/bin/echo', 'x'.repeat(3_000_000)], {}],
  ['exit code', ['/bin/false'], { reject: true }],
  ['timeout', ['/bin/sleep', '60'], { reject: true, timeoutMs: 50 }],
  ['sysctl', ['/bin/true'], { sysctls: { 'net.core.nonsense': '1' } }],
  ['working directory', ['/bin/true'], { cwd: '/etc/passwd/x' }],
  ['user', ['/bin/true'], { user: 'nobody-knows' }],
  ['option', ['/bin/true'], { memory: 'much' }],
  ['environment too long', ['/bin/true'], { env: { ...env, LONG: 'x'.repeat(3_000_000) } }],
]

for (const [name, command, options] of kFailures) {
  test(`not in an error: ${name}`, async (t) => {
    if (!needsContainers(t)) return
    await assert.rejects(attack.run(command, { env, ...options }), (error: Error) => {
      const everything = inspect(error, { depth: 10, showHidden: true, maxStringLength: null }) + JSON.stringify(error)
      assert.ok(!everything.includes(secret), everything.slice(0, 2_000))
      return true
    })
  })
}
