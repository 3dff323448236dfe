// SPDX-License-Identifier: MIT
// Records of containers that another version has written, or a disk has damaged.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mountsOf } from '../../../lib/containers/mounts-of.ts'
import { type ContainerRecord, parseExitRecord, parseRecord, parseState } from '../../../lib/containers/record.ts'
import { optionsOf } from '../../../lib/containers/recorded-options.ts'
import { InvalidOptionError, WherryError } from '../../../lib/errors.ts'
import type { VolumeStore } from '../../../lib/volumes/volume-store.ts'

const kRecord = {
  formatVersion: 1,
  id: 'a'.repeat(64),
  createdAt: '2026-01-01T00:00:00.000Z',
  image: { id: null, reference: null },
  rootfs: { kind: 'host', hide: [] },
  imageConfig: { Labels: { of: 'image' } },
  command: ['/bin/true'],
  options: { env: { A: 'b', constructor: 'c', GONE: null }, labels: { constructor: 'd' } },
  volumes: [{ target: '/data', name: 'data', anonymous: false }],
  detached: false,
  logs: { maxBytes: 1, maxFiles: 1 },
}
const kState = {
  status: 'running',
  name: 'name',
  content: [],
  pid: 1,
  startTimeTicks: 1,
  bootId: 'boot',
  startedAt: '2026-01-01T00:00:00.000Z',
  finishedAt: null,
  exitCode: null,
  killSignal: null,
  oomKilled: false,
  error: null,
  autoRemove: false,
  ports: [{ container: 80, protocol: 'tcp', host: '127.0.0.1', port: 8080 }],
  restart: { policy: 'always', maxRetries: 0, count: 1, delayMs: 100, dueMs: null, stoppedIn: null },
}

const record = (changes: object): ContainerRecord | undefined => parseRecord(JSON.stringify({ ...kRecord, ...changes }))

test('what is a record, and what is none', () => {
  assert.deepEqual(record({}), kRecord)
  for (const changes of [
    { imageConfig: { Labels: 'text' } },
    { imageConfig: { Env: [null] } },
    { options: { env: null } },
    { options: { env: { A: 5 } } },
    { options: { labels: null } },
    { options: { labels: { a: null } } },
    { volumes: [{ target: '/data' }] },
    { health: {} },
  ]) {
    assert.equal(record(changes), undefined, JSON.stringify(changes))
  }
})

test('what is a state, and what is none', () => {
  assert.deepEqual(parseState(JSON.stringify(kState)), kState)
  for (const changes of [
    { ports: null },
    { ports: [null] },
    { ports: [{ container: 80 }] },
    { restart: {} },
    { restart: { ...kState.restart, count: null } },
    { status: 'dead' },
  ]) {
    assert.equal(parseState(JSON.stringify({ ...kState, ...changes })), undefined, JSON.stringify(changes))
  }
})

test('options that this version does not know are an error of their own, and keep nobody from looking', () => {
  const volumes = { dataPath: (name: string) => `/volumes/${name}` } as VolumeStore
  for (const options of [
    { later: true },
    { mounts: [{ type: 'later', target: '/data' }] },
    { mounts: null },
    { memory: {} },
  ]) {
    const newer = record({ options }) ?? assert.fail()
    assert.throws(
      () => optionsOf(newer),
      (error: WherryError) => {
        assert.ok(error instanceof WherryError && !(error instanceof InvalidOptionError))
        assert.equal(error.code, 'ERR_CONTAINER_OPTIONS')
        assert.match(error.message, /^Container a{12} has options that this version does not know: /)
        return true
      },
    )
    const stored = {
      record: newer,
      state: { ...kState, status: 'exited' as const, restart: undefined },
      lastExit: undefined,
    }
    assert.deepEqual(
      mountsOf(stored as unknown as Parameters<typeof mountsOf>[0], volumes).map(({ name, target }) => [name, target]),
      [['data', '/data']],
    )
  }
})

test('a record of an end whose moment is none', () => {
  assert.equal(parseExitRecord('1 0 1 1 1 0 1700000000.5\n')?.finishedMs, 1_700_000_000_500)
  assert.equal(parseExitRecord('1 0 1 1 1 0 99999999999999999999.5\n'), undefined)
})
