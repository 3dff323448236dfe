// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseBenchOptions } from '../../../bench/options.ts'

const kSubjects = ['wherry', 'spawn', 'crun']

function parse(...args: string[]) {
  const options = parseBenchOptions(args, kSubjects)
  assert.ok(options !== 'help')
  return options
}

test('without options everything is measured at both sizes', () => {
  const options = parse()
  assert.deepEqual(options.parts, ['P1', 'P2', 'P3-unpack', 'P3-transfer', 'P4', 'P5', 'P6', 'P7'])
  assert.deepEqual(options.subjects, kSubjects)
  assert.deepEqual(options.residentMegabytes, [54, 550])
})

test('--short does less, and --trials has the last word', () => {
  assert.ok(parse('--short').latency.rounds < parse().latency.rounds)
  assert.ok(parse('--short').enduranceRuns < parse().enduranceRuns)
  assert.equal(parse('--short', '--trials', '7').latency.rounds, 7)
  assert.equal(parse('--short', '--p3-rounds', '6').p3Rounds, 6)
})

test('a short run measures slow peers at the first size only', () => {
  assert.deepEqual(parse('--short').firstSizeOnly, ['bwrap', 'runc', 'podman', 'dockerd'])
  assert.deepEqual(parse().firstSizeOnly, [])
})

test('--only and --subjects choose, in the order of the tables', () => {
  assert.deepEqual(parse('--only', 'P6,P1').parts, ['P1', 'P6'])
  assert.deepEqual(parse('--subjects', 'crun, wherry').subjects, ['wherry', 'crun'])
})

test('unknown names and values that are no whole numbers are refused by name', () => {
  assert.throws(() => parse('--only', 'P9'), /--only knows P1, P2, P3-unpack, P3-transfer, P4, P5, P6, P7, not P9/)
  assert.throws(() => parse('--trials', '1.5'), /--trials takes a whole number from 1, not 1.5/)
  assert.throws(() => parse('--sort'), /--sort/)
})

test('--help asks for the usage', () => {
  assert.equal(parseBenchOptions(['--help'], kSubjects), 'help')
})
