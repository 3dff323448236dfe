// SPDX-License-Identifier: MIT
// The attendant of a root: `node attendant-process.js ROOT`. It looks after detached containers that are to be started again by
// themselves, and ends when there is none left. All that it knows is on disk, so that it may be killed at any time.
import { argv } from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { becomeRootAttendant, needsRootAttendant, rootAttendant } from './container-attendance.ts'
import type { Attendant } from './containers/attendant.ts'
import { Engine } from './engine.ts'
import { loadNative } from './launcher/native.ts'
import { readBootId } from './store/container-state.ts'
import { StoreLayout } from './store/layout.ts'

/** What was started by somebody who was killed before he could say so is found so late. */
const kLookMs = 10_000

const [root = ''] = argv.slice(2)
const place = await becomeRootAttendant(new StoreLayout(root).lock('attendant'), loadNative())
if (place !== undefined) {
  // The place is ours: this engine starts no other attendant.
  await using engine = await Engine.open({ root, prepared: 0 })
  for (let held = place; ; ) {
    const attendant = rootAttendant(engine)
    await attendAll(engine, attendant)
    await attendant.close()
    await held.release()
    // Whoever started a container meanwhile took it that we are here.
    if (!(await hasWork(engine))) break
    const again = await becomeRootAttendant(engine.store.layout.lock('attendant'), engine.native)
    if (again === undefined) break
    held = again
  }
}

/** Attends until there is nothing to attend. */
async function attendAll(engine: Engine, attendant: Attendant): Promise<void> {
  const over = new AbortController()
  const listening = listen(engine, attendant, over.signal).catch(() => undefined)
  do {
    for (const id of await work(engine)) attendant.attend(id)
    await Promise.race([attendant.idle(), delay(kLookMs, undefined, { signal: over.signal, ref: true })])
  } while (attendant.count > 0)
  over.abort()
  await listening
}

/** Hears at once of what is started. */
async function listen(engine: Engine, attendant: Attendant, signal: AbortSignal): Promise<void> {
  for await (const { id } of engine.events({ filters: { type: 'container', action: 'start' }, signal })) {
    if ((await work(engine, [id])).length > 0) attendant.attend(id)
  }
}

async function hasWork(engine: Engine): Promise<boolean> {
  return (await work(engine)).length > 0
}

/** Ids of containers that are to be attended. */
async function work(engine: Engine, ids?: readonly string[]): Promise<string[]> {
  const bootId = await readBootId()
  const all = await Promise.all(
    (ids ?? (await engine.containers.ids())).map((id) => engine.containers.read(id).catch(() => undefined)),
  )
  return all
    .filter((stored) => stored !== undefined && needsRootAttendant(stored, bootId))
    .map((stored) => stored?.record.id ?? '')
}
