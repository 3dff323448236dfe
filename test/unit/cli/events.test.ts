// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventLine } from '../../../lib/cli/commands/events.ts'
import type { EngineEvent } from '../../../lib/events/event.ts'

const kId = 'a'.repeat(64)

function eventOf(changes: Partial<EngineEvent>): EngineEvent {
  const whole = { time: '2026-01-02T03:04:05.678Z', type: 'container', action: 'start', id: kId, name: 'boat' } as const
  return { ...whole, attributes: {}, ...changes }
}

test('a line has time, type, action, id, and the rest by its names, in order', () => {
  assert.equal(
    eventLine(eventOf({ action: 'die', attributes: { image: 'test', exitCode: '7' } })),
    `2026-01-02T03:04:05.678Z container die ${kId} (exitCode=7, image=test, name=boat)`,
  )
  assert.match(eventLine(eventOf({ type: 'volume', action: 'create' })), /Z volume create a+ \(name=boat\)$/)
})

test('what was run, and how health became, stands with the action', () => {
  for (const action of ['exec_create', 'exec_start'] as const) {
    assert.match(
      eventLine(eventOf({ action, attributes: { command: 'ls' } })),
      new RegExp(` container ${action}: ls a`),
    )
  }
  assert.match(
    eventLine(eventOf({ action: 'health_status', attributes: { status: 'unhealthy' } })),
    / container health_status: unhealthy a+ \(name=boat, status=unhealthy\)$/,
  )
  assert.match(eventLine(eventOf({ action: 'exec_die', attributes: { command: 'ls' } })), / container exec_die a/)
})

test('a label that would write to the terminal does not', () => {
  const line = eventLine(eventOf({ attributes: { label: 'x\u001b[2J\ny' } }))
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there.
  assert.doesNotMatch(line, /[\u0000-\u001f]/)
})
