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
  assert.ok(modules.length > 0, relative(process.cwd(), lib))
})

test('the public door loads alone and quickly', {
  skip: !modules.some((file) => file === join(lib, 'index.js')),
}, async () => {
  const source = `
    const started = performance.now()
    await import(${JSON.stringify(pathToFileURL(join(lib, 'index.js')).href)})
    console.log(performance.now() - started)`
  const result = await runModule(source, { timeoutMs: 20_000 })
  assert.equal(result.stderr, '')
  // Far above what it takes; a module that does work while it loads is what this is to find.
  assert.ok(Number(result.stdout) < 5_000, result.stdout)
})
