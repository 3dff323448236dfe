// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fuzzTar } from '../../fuzz/tar-fuzzer.ts'

// The same inputs each time, as far as the time allows; `npm run fuzz:tar` looks for new ones.
test('mutated archives are unpacked or refused, and nothing else happens', async (t) => {
  const base = mkdtempSync(join(tmpdir(), 'wherry-fuzz-'))
  t.after(() => rmSync(base, { recursive: true, force: true }))
  const result = await fuzzTar(base, 1, 3000)
  assert.ok(result.inputs > 50 && result.unpacked > 0 && result.refused > 0, JSON.stringify(result))
})
