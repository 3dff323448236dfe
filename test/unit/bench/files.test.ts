// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { missingRoom } from '../../../bench/files.ts'

test('missingRoom says how much is wanted and how much is there, and nothing where it is enough', async () => {
  assert.equal(await missingRoom(tmpdir(), 1), undefined)
  assert.match((await missingRoom(tmpdir(), 1e18)) ?? '', /^takes 1000000000\.0 GB in .*, where \d+\.\d GB are free$/)
})
