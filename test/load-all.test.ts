// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { runModule } from './helpers/run-child.ts'

const lib = join(dirname(fileURLToPath(import.meta.url)), '../lib')

const modules = readdirSync(lib, { withFileTypes: true, recursive: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.js'))
  .map((entry) => join(entry.parentPath, entry.name))
  // A worker's file runs when it is loaded.
  .filter((file) => !file.endsWith('-worker.js'))

// Loading has no effects: nothing is read, started or listened to until something is called.
for (const file of modules) {
  test(`loads alone and ends: ${relative(lib, file)}`, async () => {
    const source = `
      await import(${JSON.stringify(pathToFileURL(file).href)})
      const handles = process.getActiveResourcesInfo().filter((name) => !/^(TTYWrap|PipeWrap|FSReqPromise|CloseReq)$/.test(name))
      if (handles.length > 0) throw new Error('open after loading: ' + handles)`
    const result = await runModule(source, { timeoutMs: 20_000 })
    assert.equal(result.stderr, '')
    assert.equal(result.exitCode, 0)
  })
}
