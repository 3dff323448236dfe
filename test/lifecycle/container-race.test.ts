// SPDX-License-Identifier: MIT
// Two processes on one root do everything to the same container at once. WHERRY_RACE=5000 does more than the default run.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { assertClean, useFaultRoot } from '../fault/fault-root.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { runChild } from '../helpers/run-child.ts'
import { needsContainers } from '../integration/rootfs.ts'

const kOperations = Number(process.env.WHERRY_RACE ?? 1000)
const kProgram = fileURLToPath(new URL('./lasting-process.js', import.meta.url))

checkLeftovers()
const root = useFaultRoot()

test(`two processes race ${kOperations} operations`, { timeout: 60_000 + kOperations * 300 }, async (t) => {
  if (!needsContainers(t)) return
  const timeoutMs = 50_000 + kOperations * 280
  const racer = (seed: number) =>
    runChild(process.execPath, [kProgram, root, 'race', 'raced', String(kOperations / 2), String(seed)], { timeoutMs })
  const results = await Promise.all([racer(1), racer(2)])
  const outcomes: Record<string, number> = {}
  for (const { exitCode, stdout, stderr } of results) {
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    assert.deepEqual([exitCode, stderr, lines.filter((line) => 'unexpected' in line)], [0, '', []])
    for (const [name, count] of Object.entries(lines.at(-1)?.outcomes ?? {})) {
      outcomes[name] = (outcomes[name] ?? 0) + Number(count)
    }
  }
  t.diagnostic(JSON.stringify(outcomes))
  assert.equal(
    Object.values(outcomes).reduce((sum, count) => sum + count, 0),
    kOperations,
  )
  {
    await using engine = await Engine.open({ root })
    for (const { id, status, pid } of await Container.list({ engine, all: true })) {
      assert.equal(pid !== null, status === 'running' || status === 'paused', `${status} with process ${pid}`)
      await (await Container.get(id, { engine })).remove({ force: true })
    }
    assert.deepEqual((await engine.verify()).faults, [])
  }
  await assertClean(root)
})
