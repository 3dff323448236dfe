// SPDX-License-Identifier: MIT
// Everything that goes wrong before the program runs, or because of what it does: class, code, message.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { ContainerStartError, ExitError, InvalidOptionError, NotFoundError, RegistryError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { eachSetting, needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

eachSetting(fixture, 'a program that is not there is 127 and names the PATH searched', async ({ run }) => {
  const path = '/one/bin:/bin:/two/bin'
  await assert.rejects(run(['no-such-program'], { env: { PATH: path } }), (error) => {
    assert.ok(error instanceof ContainerStartError)
    assert.equal(error.exitCode, 127)
    assert.ok(error.message.includes('"no-such-program"'), error.message)
    assert.ok(error.message.includes(path), error.message)
    return true
  })
  await assert.rejects(run(['/no/such/program']), {
    code: 'ERR_CONTAINER_START',
    exitCode: 127,
    message: /no such file/,
  })
  await assert.rejects(run(['./relative']), { code: 'ERR_CONTAINER_START', exitCode: 127 })
})

test('a file that cannot be executed is 126', async (t) => {
  if (!needsContainers(t)) return
  const start = { code: 'ERR_CONTAINER_START', exitCode: 126 }
  await assert.rejects(fixture.run(['/bin/not-executable']), { ...start, message: /permission denied/ })
  await assert.rejects(fixture.run(['not-executable']), { ...start, message: /permission denied/ })
  await assert.rejects(fixture.run(['/etc']), start)
  await assert.rejects(fixture.run(['/bin/no-format']), { ...start, message: /format/ })
  await assert.rejects(fixture.run(['/sealed/x'], { user: 'alice' }), { code: 'ERR_CONTAINER_START' })
})

test('too many arguments are 125, and the message says how many fit', async (t) => {
  if (!needsContainers(t)) return
  await assert.rejects(fixture.run(['/probe', 'x'.repeat(200_000)]), {
    exitCode: 125,
    message: /^Cannot run "\/probe": its arguments .* longer than 128 KiB\.$/,
  })
})

test('a script whose interpreter is missing is 127 and says which of the two is missing', async (t) => {
  if (!needsContainers(t)) return
  await assert.rejects(fixture.run(['/bin/no-interpreter']), {
    code: 'ERR_CONTAINER_START',
    exitCode: 127,
    message: /exists, but the interpreter/,
  })
  await assert.rejects(fixture.run(['no-interpreter']), { exitCode: 127, message: /interpreter/ })
})

test('a missing image is a NotFoundError', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const id = 'f'.repeat(64)
  await assert.rejects(Container.run(id, ['/probe'], { engine }), (error) => {
    assert.ok(error instanceof NotFoundError)
    assert.match(error.message, /"f{64}" is not in the store/)
    return true
  })
  // A reference is looked for in its registry; nothing listens there.
  for (const [name, tag] of [
    ['127.0.0.1:1/no/such:image', 'image'],
    ['127.0.0.1:1/no/such', 'latest'],
  ] as const) {
    await assert.rejects(Container.run(name, ['/probe'], { engine }), (error) => {
      assert.ok(error instanceof RegistryError)
      assert.equal(error.code, 'ERR_REGISTRY')
      assert.match(error.message, new RegExp(`^Cannot get ${tag} of 127\\.0\\.0\\.1:1/no/such: .*ECONNREFUSED`))
      return true
    })
  }
  await assert.rejects(Container.run('UPPER case', ['/probe'], { engine }), { code: 'ERR_INVALID_REFERENCE' })
  // @ts-expect-error a number is no image
  await assert.rejects(Container.run(7, ['/probe'], { engine }), { code: 'ERR_INVALID_OPTION', option: 'image' })
})

test('unknown options are named, with the nearest known one', async (t) => {
  if (!needsContainers(t)) return
  const invalid = async (options: object, option: string, message: RegExp): Promise<void> => {
    await assert.rejects(fixture.run(['/probe', 'pid'], options), (error) => {
      assert.ok(error instanceof InvalidOptionError)
      assert.equal(error.option, option)
      assert.match(error.message, message)
      return true
    })
  }
  await invalid({ timoutMs: 5 }, 'timoutMs', /did you mean 'timeoutMs'/)
  await invalid({ readonly: true }, 'readonly', /did you mean 'readOnly'/)
  await invalid({ memroy: '1g' }, 'memroy', /did you mean 'memory'/)
  await invalid({ memory: '5q' }, 'memory', /256m/)
  await invalid({ memory: 1024 }, 'memory', /at least/)
  await invalid({ userns: 'hots' }, 'userns', /did you mean 'host'/)
  await invalid({ mounts: [{ type: 'bind', source: '/', target: 'x' }] }, 'mounts[0].target', /absolute/)
  await invalid({ mounts: [{ type: 'bind', source: '/', target: '/x', read: 1 }] }, 'mounts[0].read', /known option/)
  await invalid({ capabilities: { add: ['NO_SUCH'] } }, 'capabilities.add[0]', /capab/i)
  await invalid({ ulimits: { nofiles: 3 } }, 'ulimits.nofiles', /nofile/)
  await invalid({ env: { A: 7 } }, 'env.A', /string/)
  await invalid({ stdin: 'text' }, 'stdin', /expected 'pipe'.*text goes to 'input'/)
  await assert.rejects(Container.run(Image.host(), [], { engine: fixture.engine }), InvalidOptionError)
  await assert.rejects(fixture.run(['']), InvalidOptionError)
  await assert.rejects(fixture.run(['a\0b']), InvalidOptionError)
})

eachSetting(fixture, 'a mount whose source is missing, or whose target cannot be made', async ({ run, probe }) => {
  const missing = { type: 'bind', source: '/no/such/source', target: '/mnt' } as const
  await assert.rejects(run([probe, 'pid'], { mounts: [missing] }), (error) => {
    assert.ok(error instanceof Error)
    assert.match(error.message, /\/no\/such\/source/)
    return true
  })
  const below = { type: 'tmpfs', target: '/etc/passwd/below' } as const
  await assert.rejects(run([probe, 'pid'], { mounts: [below] }), { code: 'ERR_CONTAINER_START', exitCode: 125 })
  assert.match((await run([probe, 'pid'])).stdout, /^pid=1 /)
})

eachSetting(fixture, 'failure of the program is an ExitError with everything it said', async ({ run, sh, probe }) => {
  await assert.rejects(sh('echo out; echo reason >&2; exit 3'), (error) => {
    assert.ok(error instanceof ExitError)
    assert.deepEqual([error.code, error.exitCode, error.killSignal], ['ERR_EXIT', 3, null])
    assert.deepEqual([error.stdout, error.stderr], ['out\n', 'reason\n'])
    assert.match(error.message, /exited with code 3: reason/)
    return true
  })
  for (const code of [1, 2, 125, 126, 127, 128, 137, 255]) {
    assert.equal((await run([probe, 'exit', String(code)], { reject: false })).exitCode, code)
  }
})

eachSetting(fixture, 'a program that signals itself', async ({ run, sh }) => {
  // The first process of a pid namespace gets no signal without a handler from inside; a shell's child does.
  await assert.rejects(run(['/bin/sh', '-c', 'sh -c "kill -TERM \\$\\$"; exit $?']), { exitCode: 143 })
  assert.equal(await sh('kill -TERM $$; echo survived'), 'survived\n')
})

test('an engine that is closed refuses to run', async (t) => {
  if (!needsContainers(t)) return
  const engine = await Engine.open({ root: await fixture.tempDir() })
  await engine.close()
  await assert.rejects(Container.run(Image.host(), ['true'], { engine }), { code: 'ERR_ENGINE_CLOSED' })
  // @ts-expect-error this is no engine
  await assert.rejects(Container.run(Image.host(), ['true'], { engine: {} }), { option: 'engine' })
})

test('an image without its name is not found by it', async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  await image.tag('short-lived')
  await image.untag('short-lived')
  await assert.rejects(Image.get('short-lived', { engine }), NotFoundError)
})
