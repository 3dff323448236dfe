// SPDX-License-Identifier: MIT
// Those who look after containers or watch their ends: what comes while they are about to let go of one is not lost.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Attendant, type AttendantParts } from '../../../lib/containers/attendant.ts'
import type { StoredContainer } from '../../../lib/containers/container-store.ts'
import type { EndParts } from '../../../lib/containers/end-stored.ts'
import { EndWatcher } from '../../../lib/containers/end-watcher.ts'
import { until } from '../../helpers/until.ts'

const kTimeout = { timeout: 10_000 }
const exited = { record: { id: 'a' }, state: { status: 'exited', pid: null } } as StoredContainer
const restartingIn = (ms: number): StoredContainer =>
  ({ ...exited, state: { status: 'restarting', restart: { dueMs: Date.now() + ms } } }) as StoredContainer

/** A store of one container that finds what it is told to, one look after the other; the first one when it is let. */
class Looks {
  count = 0
  go: () => void = () => {}
  readonly #found: readonly StoredContainer[]
  readonly #let = new Promise<void>((resolve) => {
    this.go = resolve
  })

  constructor(...found: StoredContainer[]) {
    this.#found = found
  }

  readonly read = async (): Promise<StoredContainer> => exited

  readonly settleEnd = async (): Promise<StoredContainer> => {
    const found = this.#found[this.count++] ?? assert.fail('one look too many')
    if (this.count === 1) await this.#let
    return found
  }
}

function attendantOn(looks: Looks): Attendant {
  return new Attendant({ containers: looks } as unknown as AttendantParts, () => true)
}

test(
  'a container that is started while its attendant is about to let go of it is looked at again',
  kTimeout,
  async () => {
    const looks = new Looks(exited, exited)
    const attendant = attendantOn(looks)
    attendant.attend('a')
    await until(() => looks.count === 1, 'it looks')
    attendant.attend('a')
    looks.go()
    await attendant.idle()
    assert.deepEqual([looks.count, attendant.count], [2, 0])
  },
)

test('one that is woken before it sleeps does not sleep', kTimeout, async () => {
  const looks = new Looks(restartingIn(60_000), exited)
  const attendant = attendantOn(looks)
  attendant.attend('a')
  await until(() => looks.count === 1, 'it looks')
  attendant.attend('a')
  looks.go()
  await attendant.idle()
  assert.equal(looks.count, 2)
})

test('an attendant that is closed lets go of those that it waits for', kTimeout, async () => {
  const looks = new Looks(restartingIn(60_000))
  const attendant = attendantOn(looks)
  attendant.attend('a')
  looks.go()
  await until(() => looks.count === 1, 'it looks')
  await attendant.close()
  attendant.attend('a')
  assert.equal(attendant.count, 0)
})

test('a container that is started while its last end is told is watched on', kTimeout, async () => {
  const looks = new Looks(exited, exited)
  const watcher = new EndWatcher({ containers: looks } as unknown as EndParts, new AbortController().signal)
  watcher.watch('a')
  await until(() => looks.count === 1, 'its end is being told')
  watcher.watch('a')
  looks.go()
  await until(() => looks.count === 2, 'its next end is told')
})
