// SPDX-License-Identifier: MIT
// Programs in a container that stays, through the public class; test/integration/exec.test.ts has the mechanism.
import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import {
  Container,
  ContainerProcess,
  ContainerStartError,
  ContainerStateError,
  ExitError,
  Image,
} from '../../lib/index.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

test('programs run beside the first one, see what it sees, and end by themselves', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const command = ['sh', '-c', 'echo shared > /tmp/shared; exec sleep 1000']
  await using container = await Container.start(Image.host(), { engine, command, env: { WHO: 'me' }, hostname: 'here' })

  await t.test('its result is as of a run', async () => {
    const script = 'cat /tmp/shared; echo $WHO $MORE; hostname; echo err >&2'
    const result = await container.exec(['sh', '-c', script], { env: { MORE: 'too' } })
    assert.deepEqual([result.exitCode, result.stdout, result.stderr], [0, 'shared\nme too\nhere\n', 'err\n'])
    assert.equal(result.id, container.id)
  })
  await t.test('failure rejects, unless it is not to', async () => {
    await assert.rejects(container.exec(['sh', '-c', 'echo no >&2; exit 3']), (error: unknown) => {
      assert.ok(error instanceof ExitError)
      assert.deepEqual([error.exitCode, error.message], [3, 'The program in the container exited with code 3: no'])
      return true
    })
    assert.equal((await container.exec(['false'], { reject: false })).exitCode, 1)
  })
  await t.test('a stream that fails ends it with its error', async () => {
    const failure = new Error('source failed')
    const broken = new PassThrough()
    const stdout = new PassThrough().once('data', () => broken.destroy(failure))
    broken.write('before')
    await assert.rejects(container.exec(['cat'], { stdin: broken, stdout }), (error) => error === failure)
    await assert.rejects(container.exec(['cat'], { input: createReadStream('/nowhere/file') }), { code: 'ENOENT' })
  })
  await t.test('what is not there is 127', async () => {
    await assert.rejects(container.exec(['no-such-program']), (error: unknown) => {
      assert.ok(error instanceof ContainerStartError)
      assert.equal(error.exitCode, 127)
      return true
    })
  })
  await t.test('streams, signals and the end of a spawned program', async () => {
    const cat = await container.spawn(['cat'], { stdin: 'pipe' })
    assert.ok(cat instanceof ContainerProcess && cat.pid > 0)
    cat.stdin?.end('through\n')
    assert.equal(await text(cat.stdout ?? assert.fail()), 'through\n')
    assert.deepEqual((await cat.wait()).exitCode, 0)
    const sleep = await container.spawn(['sleep', '1000'])
    assert.throws(() => sleep.kill('SIGNONE'), { code: 'ERR_INVALID_OPTION' })
    sleep.kill()
    assert.equal((await sleep.wait()).killSignal, 'SIGTERM')
  })
  await t.test('who starts one can send it signals once it runs', async () => {
    const { killSignal } = await container.exec(['sleep', '1000'], {
      reject: false,
      onStart: ({ pid, kill }) => {
        assert.ok(pid > 0)
        kill('SIGTERM')
      },
    })
    assert.equal(killSignal, 'SIGTERM')
    const failing = { onStart: () => assert.fail('of the callback') }
    await assert.rejects(container.exec(['sleep', '1000'], failing), /of the callback/)
    await assert.rejects(container.spawn(['sleep', '1000'], failing), /of the callback/)
  })
  await t.test('a terminal has a size, and takes another', async () => {
    const shell = await container.spawn(['sh', '-c', 'stty size; read line; stty size'], {
      tty: true,
      stdin: 'pipe',
      terminalSize: { rows: 30, columns: 90 },
    })
    const output = shell.stdout ?? assert.fail()
    let seen = ''
    for await (const chunk of output) {
      seen += String(chunk)
      if (seen === '30 90\r\n') {
        shell.resize({ rows: 40, columns: 100 })
        shell.stdin?.write('\n')
      }
    }
    assert.match(seen, /40 100\r\n$/)
    assert.throws(() => shell.resize({ rows: -1, columns: 1 }), { code: 'ERR_INVALID_OPTION' })
    assert.equal((await shell.wait()).exitCode, 0)
  })
  await t.test('none in a container that is paused, restarted meanwhile, or has ended', async () => {
    await container.pause()
    await assert.rejects(container.exec(['true']), ContainerStateError)
    await container.resume()
    await container.restart({ timeoutMs: 0 })
    assert.equal((await container.exec(['cat', '/tmp/shared'])).stdout, 'shared\n')
    await container.stop({ timeoutMs: 0 })
    await assert.rejects(container.exec(['true']), (error: unknown) => {
      assert.ok(error instanceof ContainerStateError)
      assert.deepEqual([error.state, error.operation, error.allowed], ['exited', 'exec', ['running']])
      return true
    })
  })
  await t.test('bad options are refused before anything is looked at', async () => {
    await assert.rejects(container.exec([]), { code: 'ERR_INVALID_OPTION' })
    await assert.rejects(container.exec('true' as unknown as string[]), { code: 'ERR_INVALID_OPTION' })
    await assert.rejects(container.spawn(['true'], { memory: 1 } as object), { code: 'ERR_INVALID_OPTION' })
  })
})

test('a call that is aborted before it begins makes no container', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const signal = AbortSignal.abort(new Error('no more'))
  for (const call of [Container.create, Container.start]) {
    await assert.rejects(call(Image.host(), { engine, command: ['true'], signal }), /no more/)
  }
  assert.deepEqual(await Container.list({ engine, all: true }), [])
})
