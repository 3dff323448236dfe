// SPDX-License-Identifier: MIT
// A registry that cannot be started: a typed error with a hint, soon, and nothing left.
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { Engine, InvalidOptionError, Registry, type RegistryServerOptions, SyscallError } from '../../lib/index.ts'
import { makeSelfSigned } from '../helpers/certificates.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { listen } from '../helpers/listen.ts'
import { needs } from '../helpers/needs.ts'
import { tempDir } from './image-fixtures.ts'

checkLeftovers()

async function refusal(options: RegistryServerOptions): Promise<SyscallError> {
  try {
    await using server = await Registry.serve(options)
    assert.fail(`it listens at ${server.url}`)
  } catch (error) {
    assert.ok(error instanceof SyscallError, String(error))
    return error
  }
}

test('an address that is taken, or is of another machine', async (t) => {
  const before = await readdir(tmpdir())
  const port = Number((await listen(t, createServer())).split(':')[1])
  const taken = await refusal({ port })
  assert.equal(taken.code, 'EADDRINUSE')
  assert.match(taken.message, new RegExp(`^Serving a registry at 127\\.0\\.0\\.1:${port}: listen.*EADDRINUSE.*Hint: `))
  assert.equal((await refusal({ host: '192.0.2.1' })).code, 'EADDRNOTAVAIL')
  const left = (await readdir(tmpdir())).filter((name) => name.startsWith('wherry-registry-') && !before.includes(name))
  assert.deepEqual(left, [])
})

test('a root in a file system that has no such directories, where Node itself never ends', {
  timeout: 60_000,
}, async () => {
  const error = await refusal({ root: '/proc/wherry/registry' })
  assert.equal(error.code, 'ENOENT')
  assert.match(error.message, /mkdir\(\/proc\/wherry.*Hint: choose a root/)
  await assert.rejects(Engine.open({ root: '/proc/wherry/a/b' }), { code: 'ENOENT' })
})

test('a certificate without its key', async (t) => {
  if (!needs(t, 'command:openssl')) return
  const dir = await tempDir(t)
  const cert = await readFile((await makeSelfSigned(dir, 'one')).certPath)
  const key = await readFile((await makeSelfSigned(dir, 'two')).keyPath)
  for (const tls of [
    { cert, key },
    { cert: 'no certificate', key },
    { cert, key: 'secret key' },
  ]) {
    await assert.rejects(Registry.serve({ tls }), (error) => {
      assert.ok(error instanceof InvalidOptionError)
      assert.equal(error.option, 'tls')
      assert.doesNotMatch(error.message, /secret/)
      return true
    })
  }
})
