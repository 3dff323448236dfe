// SPDX-License-Identifier: MIT
// A program that uses wherry ends when it has nothing more to do, whether it closes the engine or not, and leaves nothing.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertRepaired, remainsOf, useFaultRoot } from '../fault/fault-root.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { runModule } from '../helpers/run-child.ts'
import { until } from '../helpers/until.ts'
import { needsContainers } from '../integration/rootfs.ts'

const kTimeoutMs = 60_000
/** Prepared children are kept for ten seconds: a program must not wait for that. */
const kMaxExitMs = 8_000

checkLeftovers()
const root = useFaultRoot()

/** Runs a module with an engine open; `body` may use `engine` and `run`. */
async function runProgram(body: string): Promise<{ stdout: string; stderr: string; exitCode: number | null }> {
  const source = `
    const { Container } = await import(${JSON.stringify(new URL('../../lib/container.js', import.meta.url))})
    const { Engine } = await import(${JSON.stringify(new URL('../../lib/engine.js', import.meta.url))})
    const engine = await Engine.open({ root: ${JSON.stringify(root)} })
    const run = (...command) => Container.run('fault', command, { engine })
    const { launcher } = await engine.runtime()
    console.log('owner ' + launcher.pid + ' ' + engine.store.session.id)
    console.log('begun ' + Date.now())
    ${body}`
  return await runModule(source, { timeoutMs: kTimeoutMs })
}

async function leftNothing(stdout: string): Promise<void> {
  const [, pid, session = ''] = /^owner (\d+) (\w+)$/m.exec(stdout) ?? []
  const owner = { child: { pid: -1 }, marker: 'no marker', output: stdout, launcher: { pid: Number(pid), session } }
  await until(() => remainsOf(owner).length === 0, 'nothing of it is left')
  await assertRepaired(root)
}

const kEndings: [name: string, body: string, exitCode: number][] = [
  ['without close(), after runs', "for (let i = 0; i < 3; i++) console.log((await run('/bin/echo', 'hi')).stdout)", 0],
  ['without close(), nothing run', '', 0],
  ['after close()', "await run('/bin/true'); await engine.close()", 0],
  ['after close() twice, at once', "await run('/bin/true'); await Promise.all([engine.close(), engine.close()])", 0],
  [
    'after close() in mid-run',
    "run('/bin/sleep', '60').catch(() => {}); await run('/bin/true'); await engine.close()",
    0,
  ],
  ['by process.exit() in mid-run', "run('/bin/sleep', '60'); await run('/bin/true'); process.exit(7)", 7],
  ['by an uncaught error in mid-run', "run('/bin/sleep', '60'); await run('/bin/true'); throw new Error('mistake')", 1],
  [
    'after a run that nobody awaits',
    "run('/bin/sh', '-c', 'sleep 0.3; echo late').then((r) => console.log(r.stdout))",
    0,
  ],
]

for (const [name, body, exitCode] of kEndings) {
  test(`a program ends ${name}`, { timeout: 4 * kTimeoutMs }, async (t) => {
    if (!needsContainers(t)) return
    // What goes wrong at the end of a process does so now and then.
    for (let i = 0; i < 4; i++) {
      const result = await runProgram(body)
      const tookMs = Date.now() - Number(/^begun (\d+)$/m.exec(result.stdout)?.[1])
      assert.equal(result.exitCode, exitCode, result.stderr)
      assert.ok(tookMs < kMaxExitMs, `it took ${tookMs} ms`)
      if (name.includes('nobody awaits')) assert.match(result.stdout, /late/)
      await leftNothing(result.stdout)
    }
  })
}
