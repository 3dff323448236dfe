// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { containerEnv, type ImageRunConfig, kDefaultPath, mergeConfig } from '../../../lib/oci/merge-config.ts'
import { type ContainerOptions, normalizeContainerOptions } from '../../../lib/options/container-options.ts'

function merge(
  image: ImageRunConfig,
  command: string[] | null = null,
  options: ContainerOptions = {},
): ReturnType<typeof mergeConfig> {
  return mergeConfig(normalizeContainerOptions(command, options), image)
}

test('entrypoint and command, as in the table of Docker', () => {
  const image: ImageRunConfig = { Entrypoint: ['/entry', '-e'], Cmd: ['serve'] }
  const rows: [command: string[] | null, entrypoint: string | string[] | undefined, expected: string[]][] = [
    [null, undefined, ['/entry', '-e', 'serve']],
    [['other'], undefined, ['/entry', '-e', 'other']],
    [[], undefined, ['/entry', '-e', 'serve']],
    [null, '/own', ['/own']],
    [['x'], ['/own', '-o'], ['/own', '-o', 'x']],
    [['x'], '', ['x']],
    [null, [], ['serve']],
    [['x'], [], ['x']],
  ]
  for (const [command, entrypoint, expected] of rows) {
    assert.deepEqual(merge(image, command, { entrypoint }).args, expected, JSON.stringify([command, entrypoint]))
  }
})

test('no command at all is refused', () => {
  assert.throws(() => merge({}), { name: 'InvalidOptionError', option: 'command' })
  assert.throws(() => merge({ Cmd: ['x'] }, null, { entrypoint: '' }), { option: 'command' })
  assert.throws(() => merge({}, ['']), { option: 'command' })
})

test("variables: the options' over the image's, then what the container brings", () => {
  const image: ImageRunConfig = { Cmd: ['x'], Env: ['A=image', 'B=b=b', 'GONE=1', 'NOVALUE', '=nameless', 'B=last'] }
  const { env } = merge(image, null, { env: { A: 'option', GONE: undefined, EMPTY: '' } })
  assert.deepEqual(containerEnv(env, { hostname: 'box', tty: true, home: '/home/me' }), [
    `PATH=${kDefaultPath}`,
    'HOSTNAME=box',
    'TERM=xterm',
    'A=option',
    'EMPTY=',
    'B=last',
    'HOME=/home/me',
  ])
})

test('variables that the container brings give way', () => {
  const given = { PATH: '/bin', HOSTNAME: 'own', TERM: 'vt100', HOME: '/own' }
  const { env } = merge({ Cmd: ['x'] }, null, { env: given })
  assert.deepEqual(containerEnv(env, { hostname: 'box', tty: true, home: '/root' }), [
    'PATH=/bin',
    'HOSTNAME=own',
    'TERM=vt100',
    'HOME=/own',
  ])
  const none = merge({ Cmd: ['x'] }, null, { env: { HOME: undefined, PATH: undefined } }).env
  assert.deepEqual(containerEnv(none, { hostname: 'box', tty: false, home: '/root' }), ['HOSTNAME=box'])
})

test('the rest: options first, then the image, then a default', () => {
  const image: ImageRunConfig = {
    Cmd: ['x'],
    User: 'node',
    WorkingDir: 'srv//app/',
    StopSignal: 'SIGQUIT',
    Labels: { a: 'image', b: 'image' },
    Volumes: { '/data/': {}, '/': {}, cache: {} },
  }
  const { user, cwd, stopSignal, labels, volumes } = merge(image, null, { labels: { a: 'option' } })
  assert.deepEqual(
    { user, cwd, stopSignal, labels, volumes },
    {
      user: 'node',
      cwd: '/srv/app',
      stopSignal: 3,
      labels: { a: 'option', b: 'image' },
      volumes: ['/cache', '/data'],
    },
  )
  const own = merge(image, null, { user: 0, cwd: '/tmp', stopSignal: 'TERM' })
  assert.deepEqual([own.user, own.cwd, own.stopSignal], ['0', '/tmp', 15])
  const bare = merge({ Cmd: ['x'] })
  assert.deepEqual([bare.user, bare.cwd, bare.stopSignal], ['', '/', 15])
})

test('a NUL byte in an image is refused and not repeated', () => {
  assert.throws(() => merge({ Cmd: ['x\0secret'] }), { option: 'image configuration Cmd', message: /^((?!secret).)*$/ })
  assert.throws(() => merge({ Cmd: ['x'], Env: ['A=\0secret'] }), { option: 'image configuration Env' })
})
