// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Contender, type ContestOptions, holdContest, type Trial } from '../../../bench/contest.ts'
import { seededRandom } from '../../../bench/random.ts'
import { SkipError } from '../../../bench/subject.ts'

let directory = ''
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-contest-'))
})
after(() => rm(directory, { recursive: true }))

function options(changes: Partial<ContestOptions> = {}): ContestOptions {
  return { directory, rounds: 2, random: seededRandom(1), signal: new AbortController().signal, ...changes }
}

function contender(name: string, prepare: Contender['prepare'] = async () => async () => {}): Contender {
  return { name, prepare }
}

test('each subject has a sample per round, the first round left out, in changing order', async () => {
  const order: string[] = []
  const noting = (name: string) =>
    contender(name, async () => {
      order.push(name)
      return async () => {}
    })
  const results = await holdContest([noting('a'), noting('b')], options({ rounds: 10 }))
  const rounds = results.map(({ samples }) => samples.map(({ round }) => round))
  assert.deepEqual(rounds, [[...Array(10).keys()], [...Array(10).keys()]])
  assert.equal(results[0]?.loops.length, 10)
  assert.equal(order.length, 22)
  const firsts = new Set(order.filter((_, index) => index % 2 === 0))
  assert.deepEqual([...firsts].sort(), ['a', 'b'])
})

test('a peer that fails in a later round has no figures, only its reason; ours has failed', async () => {
  let trials = 0
  const failing = contender('peer', async () => async () => {
    if (++trials === 2) throw new Error('broken')
  })
  const ours = { ...contender('ours', async () => Promise.reject(new Error('bad'))), ours: true }
  const results = await holdContest([failing, ours], options())
  assert.deepEqual(results, [
    { name: 'peer', samples: [], loops: [], skipped: 'broken' },
    { name: 'ours', samples: [], loops: [], failed: 'bad' },
  ])
  assert.equal(trials, 2)
})

test('what this host cannot have is skipped, ours too, and so is what needs a program that is not there', async () => {
  const missing = { ...contender('peer'), needs: ['wherry-no-such-program'] }
  const ours = { ...contender('ours', () => Promise.reject(new SkipError('no image'))), ours: true }
  const [peer, own] = await holdContest([missing, ours], options())
  assert.equal(peer?.skipped, 'wherry-no-such-program is not installed')
  assert.equal(own?.skipped, 'no image')
})

test('work that was deferred is done, the last first, when preparing fails and when the trial does', async () => {
  const done: string[] = []
  const defer = (trial: Trial, name: string) => trial.defer(async () => done.push(name))
  const unready = contender('unready', async (trial) => {
    defer(trial, 'first')
    defer(trial, 'second')
    throw new Error('not ready')
  })
  await holdContest([unready], options())
  assert.deepEqual(done.splice(0), ['second', 'first'])
  const broken = contender('broken', async (trial) => {
    defer(trial, 'after')
    return () => Promise.reject(new Error('broken'))
  })
  await holdContest([broken], options())
  assert.deepEqual(done, ['after'])
})

test('a tree is gone before the next trial, or stays until the contest is over', async () => {
  for (const keep of [false, true]) {
    const seen: number[] = []
    const writing = contender('writing', async (trial) => async () => {
      await writeFile(join(trial.directory, 'file'), '')
      seen.push((await readdir(directory)).length)
    })
    await holdContest([writing], options({ keep }))
    assert.deepEqual(seen, keep ? [1, 2, 3] : [1, 1, 1])
    assert.deepEqual(await readdir(directory), [])
  }
})
