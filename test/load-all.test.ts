// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { runModule } from './helpers/run-child.ts'

const lib = join(dirname(fileURLToPath(import.meta.url)), '../lib')

const modules = readdirSync(lib, { withFileTypes: true, recursive: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.js'))
  .map((entry) => join(entry.parentPath, entry.name))
  // A worker's file runs when it is loaded, and so do the command and the attendant.
  .filter((file) => !/(-worker|\/cli\/main|\/attendant-process)\.js$/.test(file))

test('loading a module has no effects: nothing is started, opened or listened to', async () => {
  const urls = modules.map((file) => pathToFileURL(file).href)
  const source = `
    const idle = /^(TTYWrap|PipeWrap|FSReqPromise|CloseReq)$/
    for (const url of ${JSON.stringify(urls)}) {
      await import(url)
      const open = process.getActiveResourcesInfo().filter((name) => !idle.test(name))
      if (open.length > 0) throw new Error(url + ' leaves open: ' + open)
    }`
  const result = await runModule(source, { timeoutMs: 60_000 })
  assert.equal(result.stderr, '')
  assert.equal(result.exitCode, 0)
  assert.ok(modules.includes(join(lib, 'index.js')), 'the public door is among them')
})
