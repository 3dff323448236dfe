// SPDX-License-Identifier: MIT
// Standard streams: what goes in, what comes out, and where it goes.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, Readable, Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { runModule } from '../helpers/run-child.ts'
import { until } from '../helpers/until.ts'
import { eachSetting, needsContainers, processesWith, useFixture } from './rootfs.ts'

const fixture = useFixture()

/** A slow target; `bytes` ends it and gives everything. What it has buffered when a run ends is its own business. */
function collector(): { stream: Writable; bytes: () => Promise<Buffer> } {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      // Slow on purpose, so that back-pressure is needed.
      setImmediate(done)
    },
  })
  const bytes = async (): Promise<Buffer> => {
    stream.end()
    await finished(stream)
    return Buffer.concat(chunks)
  }
  return { stream, bytes }
}

eachSetting(fixture, 'feeds text, bytes and streams into standard input', async ({ run, probe }) => {
  const cat = async (options: Parameters<typeof run>[1]): Promise<string> => (await run([probe, 'cat'], options)).stdout
  assert.equal(await cat({}), '')
  assert.equal(await cat({ stdin: 'ignore' }), '')
  assert.equal(await cat({ stdin: 'pipe' }), '')
  assert.equal(await cat({ input: 'text ☃' }), 'text ☃')
  assert.equal(await cat({ input: '' }), '')
  assert.equal(await cat({ stdin: Buffer.from('bytes') }), 'bytes')
  assert.equal(await cat({ input: new Uint8Array([104, 105]) }), 'hi')
  assert.equal(await cat({ stdin: Readable.from([Buffer.from('a '), Buffer.from('stream')]) }), 'a stream')
  assert.equal(await cat({ input: Readable.from(['one ', 'two']) }), 'one two')
  await assert.rejects(cat({ input: 'x', stdin: 'pipe' }), { code: 'ERR_INVALID_OPTION' })
})

eachSetting(
  fixture,
  'carries eight megabytes of binary data through and back',
  async ({ image, fixture: { engine }, probe, userns }) => {
    const data = randomBytes(8 * 1024 * 1024)
    const { stdout } = await Container.run(image, [probe, 'cat'], { engine, userns, stdin: data, encoding: 'buffer' })
    assert.ok(Buffer.from(stdout).equals(data))
  },
)

test('reads a file stream as input', async (t) => {
  if (!needsContainers(t)) return
  const path = join(await fixture.tempDir(), 'input')
  const data = randomBytes(1_000_000).toString('base64')
  await writeFile(path, data)
  assert.equal((await fixture.run(['/probe', 'cat'], { stdin: createReadStream(path) })).stdout, data)
})

test('a program that does not read its input ends all the same', async (t) => {
  if (!needsContainers(t)) return
  const { exitCode } = await fixture.run(['/probe', 'exit', '0'], { input: 'x'.repeat(4_000_000) })
  assert.equal(exitCode, 0)
  const endless = new Readable({ read: () => undefined })
  endless.push('some')
  assert.equal((await fixture.run(['/probe', 'exit', '0'], { stdin: endless })).exitCode, 0)
  endless.destroy()
})

test('a source that fails ends the run with its error, also before there is a program', async (t) => {
  if (!needsContainers(t)) return
  const broken = new PassThrough()
  broken.write('before')
  const failure = new Error('source failed')
  const ends = fixture.run(['/probe', 'cat'], {
    stdin: broken,
    stdout: new PassThrough().once('data', () => broken.destroy(failure)),
  })
  await assert.rejects(ends, (error) => error === failure)
  const missing = join(await fixture.tempDir(), 'missing')
  await assert.rejects(fixture.run(['/probe', 'cat'], { input: createReadStream(missing) }), { code: 'ENOENT' })
  await assert.rejects(fixture.run(['/probe', 'cat'], { input: broken }), (error) => error === failure)
  assert.equal(broken.listenerCount('error'), 0)
  const closed = new PassThrough().on('data', () => undefined)
  closed.destroy()
  assert.equal((await fixture.run(['/probe', 'cat'], { stdin: closed })).stdout, '')
})

test('a target that fails ends the run with its error', async (t) => {
  if (!needsContainers(t)) return
  const failure = new Error('the disk is full')
  const full = new Writable({ write: (_chunk, _encoding, done) => done(failure) })
  const script = 'echo lost; sleep 100'
  await assert.rejects(fixture.sh(script, { stdout: full }), (error) => error === failure)
  await assert.rejects(fixture.sh('echo lost >&2', { stderr: full }), (error) => error === failure)
  const missing = join(await fixture.tempDir(), 'no/such/folder')
  await assert.rejects(fixture.sh(script, { stdout: createWriteStream(missing) }), { code: 'ENOENT' })
})

test('many runs at once share one stream and one signal without a warning', async (t) => {
  if (!needsContainers(t)) return
  const all = collector()
  const { signal } = new AbortController()
  await Promise.all(Array.from({ length: 12 }, () => fixture.sh('echo line', { stdout: all.stream, signal })))
  await Promise.all(Array.from({ length: 12 }, () => fixture.sh('true', { signal })))
  assert.equal((await all.bytes()).toString(), 'line\n'.repeat(12))
})

eachSetting(fixture, 'keeps stdout and stderr apart', async ({ sh, run }) => {
  const script = 'for i in 1 2 3; do echo out $i; echo err $i >&2; done'
  const { stdout, stderr } = await run(['/bin/sh', '-c', script])
  assert.equal(stdout, 'out 1\nout 2\nout 3\n')
  assert.equal(stderr, 'err 1\nerr 2\nerr 3\n')
  assert.equal(await sh('echo x >&2'), '')
})

test('decodes output as asked', async (t) => {
  if (!needsContainers(t)) return
  const command = ['/bin/echo', '-n', 'ünï']
  assert.equal((await fixture.run(command, { encoding: 'hex' })).stdout, Buffer.from('ünï').toString('hex'))
  assert.equal((await fixture.run(command, { encoding: 'latin1' })).stdout, Buffer.from('ünï').toString('latin1'))
  const { stdout } = await Container.run(fixture.image, ['/bin/sh', '-c', "printf '\\377\\000\\376'"], {
    engine: fixture.engine,
    encoding: 'buffer',
  })
  assert.deepEqual([...stdout], [255, 0, 254])
  await assert.rejects(fixture.run(command, { encoding: 'utf-7' as 'utf8' }), { code: 'ERR_INVALID_OPTION' })
})

eachSetting(fixture, 'writes into streams, with back-pressure, and leaves them open', async ({ run, probe }) => {
  const [out, err] = [collector(), collector()]
  const data = randomBytes(3_000_000)
  const result = await run([probe, 'cat'], { stdin: data, stdout: out.stream, stderr: err.stream })
  assert.equal(result.stdout, '')
  await run([probe, 'err', 'to stderr'], { stderr: err.stream })
  assert.equal(out.stream.writableEnded, false)
  assert.equal(err.stream.writableEnded, false)
  assert.ok((await out.bytes()).equals(data))
  assert.equal((await err.bytes()).toString(), 'to stderr\n')
})

test('writes both outputs into one stream, or a file', async (t) => {
  if (!needsContainers(t)) return
  const both = collector()
  await fixture.sh('echo a; echo b >&2', { stdout: both.stream, stderr: both.stream })
  assert.deepEqual((await both.bytes()).toString().split('\n').sort(), ['', 'a', 'b'])
  const path = join(await fixture.tempDir(), 'output')
  const file = createWriteStream(path)
  await fixture.sh('seq 1 20000', { stdout: file })
  file.end('end\n')
  await finished(file)
  const lines = (await readFile(path, 'utf8')).split('\n')
  assert.equal(lines.length, 20_002)
  assert.equal(lines.at(-2), 'end')
})

test('a target that is closed while the container writes', async (t) => {
  if (!needsContainers(t)) return
  const target = new PassThrough()
  target.once('data', () => target.destroy())
  const result = await fixture.run(['/bin/sh', '-c', 'while echo line; do :; done'], {
    stdout: target,
    reject: false,
    timeoutMs: 60_000,
  })
  assert.equal(result.timedOut, false)
})

eachSetting(fixture, 'throws output away', async ({ sh }) => {
  assert.equal(await sh('echo out; echo err >&2; readlink /proc/self/fd/1', { stdout: 'ignore' }), '')
  assert.match(
    await sh('readlink /proc/$$/fd/2; readlink /proc/$$/fd/0', { stderr: 'ignore' }),
    /^\/dev\/null\n\/dev\/null/,
  )
})

eachSetting(fixture, 'hands on our own streams', async ({ kind, userns, fixture: { engine } }) => {
  const index = new URL('../../lib/index.js', import.meta.url).href
  const command = JSON.stringify(['sh', '-c', 'cat; echo to-stderr >&2'])
  const source = `
    import { Container, Engine, Image } from ${JSON.stringify(index)}
    const engine = await Engine.open({ root: ${JSON.stringify(engine.root)} })
    const image = ${kind === 'host' ? 'Image.host()' : "await Image.get('test', { engine })"}
    const options = { engine, userns: '${userns}', stdin: 'inherit', stdout: 'inherit', stderr: 'inherit' }
    const result = await Container.run(image, ${command}, options)
    await engine.close()
    process.exitCode = result.stdout === '' ? 0 : 9`
  const result = await runModule(source, { input: 'through' })
  assert.deepEqual(result, { exitCode: 0, killSignal: null, stdout: 'through', stderr: 'to-stderr\n' })
})

eachSetting(fixture, 'ends a run whose output is over the limit', async ({ run, probe }) => {
  const marker = 'overflow-marker'
  const noisy = ['/bin/sh', '-c', `: ${marker}; while echo 0123456789; do :; done`]
  await assert.rejects(run(noisy, { maxOutputBytes: 10_000 }), {
    code: 'ERR_MAX_OUTPUT',
    message: /10000 bytes/,
  })
  await until(() => processesWith(marker).length === 0, 'the noisy program is gone')
  const stderr = ['/bin/sh', '-c', 'while echo 0123456789 >&2; do :; done']
  await assert.rejects(run(stderr, { maxOutputBytes: 10_000 }), { code: 'ERR_MAX_OUTPUT' })
  // Exactly the limit is no overflow, and each stream has its own.
  const exact = await run(['/bin/sh', '-c', "printf '%1000s' x; printf '%1000s' x >&2"], { maxOutputBytes: 1_000 })
  assert.equal(exact.stdout.length + exact.stderr.length, 2_000)
  await assert.rejects(run([probe, 'echo', 'x'.repeat(1_000)], { maxOutputBytes: 1_000 }), { code: 'ERR_MAX_OUTPUT' })
})

eachSetting(fixture, 'the end of the first process ends the rest, and its output', async ({ sh }) => {
  const started = performance.now()
  assert.equal(await sh('sleep 60 & echo done'), 'done\n')
  assert.ok(performance.now() - started < 50_000)
})
