// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  applyCapabilities,
  capabilityMask,
  capabilityName,
  capabilityNames,
  capabilityNumber,
  kCapabilities,
  kDefaultCapabilities,
  normalizeCapability,
} from '../../../lib/oci/capabilities.ts'
import { parseByteQuantity, parseCpuList } from '../../../lib/oci/parse-quantity.ts'
import { parseSignal, signalName } from '../../../lib/oci/signals.ts'

test('byte quantities', () => {
  const rows: [number | string, number | undefined][] = [
    ['0', 0],
    ['32', 32],
    ['32b', 32],
    ['32B', 32],
    ['32k', 32_768],
    ['32KB', 32_768],
    ['32kib', 32_768],
    ['256m', 268_435_456],
    ['1.5g', 1_610_612_736],
    ['.5k', 512],
    ['32 mb', 33_554_432],
    ['1t', 1_099_511_627_776],
    ['0.1b', 0],
    [4096, 4096],
    [1.5, undefined],
    [-1, undefined],
    ['-1', undefined],
    ['', undefined],
    ['m', undefined],
    ['32x', undefined],
    ['32mm', undefined],
    ['1e3', undefined],
    ['32  m', undefined],
    ['1.m', undefined],
    ['99999p', undefined],
    [' 1', undefined],
  ]
  for (const [text, expected] of rows) assert.equal(parseByteQuantity(text), expected, JSON.stringify(text))
})

test('lists of CPUs', () => {
  assert.deepEqual(parseCpuList('0-2,4, 1'), [0, 1, 2, 4])
  for (const text of ['', '-', '1-', '3-1', '1,,2', '0x1', '99999']) assert.equal(parseCpuList(text), undefined, text)
})

test('signals: every name that Node knows has its number', () => {
  for (const [name, number] of Object.entries(constants.signals)) {
    assert.equal(parseSignal(name), number, name)
    assert.equal(parseSignal(name.slice(3).toLowerCase()), number, name)
    assert.equal(parseSignal(String(number)), number)
  }
  for (let number = 1; number <= 64; number++) {
    if (number !== 32 && number !== 33) assert.equal(parseSignal(signalName(number)), number)
  }
  assert.equal(parseSignal('SIGRTMAX-1'), 63)
  for (const wrong of ['', 'SIG', '0', '65', 'RTMIN-1', 'RTMAX+1', 'RTMIN+31', 'nope', 0, 1.5, 65]) {
    assert.equal(parseSignal(wrong), undefined, String(wrong))
  }
})

test('capabilities: numbers and masks', () => {
  assert.equal(capabilityNumber('CAP_CHOWN'), 0)
  assert.equal(capabilityNumber('CAP_SYS_ADMIN'), 21)
  assert.equal(capabilityNumber('CAP_CHECKPOINT_RESTORE'), 40)
  assert.equal(capabilityName(40), 'CAP_CHECKPOINT_RESTORE')
  assert.equal(capabilityName(41), undefined)
  // The mask that every container of Docker shows in /proc/self/status.
  assert.equal(capabilityMask(kDefaultCapabilities), 0xa80425fbn)
  void fc.assert(
    fc.property(fc.subarray([...kCapabilities]), (names) => {
      assert.deepEqual(capabilityNames(capabilityMask(names)), names)
    }),
  )
  assert.equal(normalizeCapability('net_admin'), 'CAP_NET_ADMIN')
  assert.equal(normalizeCapability('cap_all'), 'ALL')
  assert.throws(() => normalizeCapability('root'), { name: 'InvalidOptionError', message: /"root"/ })
})

test("capabilities: Docker's rules for adding and dropping", () => {
  const apply = (add: string[], drop: string[]): string[] => applyCapabilities({ add, drop }, kCapabilities)
  const defaults = kCapabilities.filter((name) => kDefaultCapabilities.includes(name))
  assert.deepEqual(apply([], []), defaults)
  assert.deepEqual(apply(['CAP_BPF'], []), [...defaults, 'CAP_BPF'])
  assert.deepEqual(apply([], ['CAP_CHOWN']), defaults.slice(1))
  assert.deepEqual(apply(['CAP_CHOWN'], ['CAP_CHOWN']), defaults)
  assert.deepEqual(apply(['ALL'], []), kCapabilities)
  assert.deepEqual(apply(['ALL'], ['CAP_CHOWN']), kCapabilities.slice(1))
  assert.deepEqual(apply(['CAP_BPF'], ['ALL']), ['CAP_BPF'])
  assert.deepEqual(apply(['ALL'], ['ALL']), [])
  assert.deepEqual(applyCapabilities({ add: ['ALL'], drop: [] }, ['CAP_KILL']), ['CAP_KILL'])
})
