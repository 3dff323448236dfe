// SPDX-License-Identifier: MIT
// Containers that share the network of another one.
import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { Container, type CreateOptions } from '../../lib/container.ts'
import { ContainerStateError, InvalidOptionError, NotFoundError } from '../../lib/errors.ts'
import { until } from '../helpers/until.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

/** Echoes what it gets, connection after connection. */
const kEcho = ['busybox', 'nc', '-ll', '-p', '7000', '-e', 'cat']

function start(command: readonly string[], options: CreateOptions = {}): Promise<Container> {
  return Container.start(fixture.image, { engine: fixture.engine, command, stopTimeoutMs: 0, ...options })
}

async function runIn(
  other: string,
  script: string,
  options: Parameters<typeof Container.run>[2] = {},
): Promise<string> {
  const network = `container:${other}` as const
  const command = ['sh', '-c', script]
  const { stdout } = await Container.run(fixture.image, command, { engine: fixture.engine, network, ...options })
  return String(stdout).trim()
}

for (const userns of ['auto', 'host'] as const) {
  test(`a container shares the network of another one (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const extraHosts = { db: '10.0.0.1' }
    await using server = await start(kEcho, { userns, name: `server-${userns}`, hostname: 'server', extraHosts })
    const their = (script: string) => server.exec(['sh', '-c', script]).then(({ stdout }) => String(stdout).trim())
    await until(async () => (await their('netstat -tln')).includes(':7000'), 'it listens')

    assert.equal(await runIn(server.id, 'echo hello | nc 127.0.0.1 7000', { userns }), 'hello')
    assert.equal(await runIn(server.name, 'readlink /proc/self/ns/net'), await their('readlink /proc/self/ns/net'))
    // All else is its own.
    for (const name of ['mnt', 'pid', 'uts', 'ipc', ...(userns === 'auto' ? ['user'] : [])]) {
      assert.notEqual(
        await runIn(server.id, `readlink /proc/self/ns/${name}`),
        await their(`readlink /proc/self/ns/${name}`),
      )
    }
    // Names belong to the network, as in Docker; the host name does not.
    assert.equal(await runIn(server.id, 'cat /etc/hosts'), await their('cat /etc/hosts'))
    assert.match(await runIn(server.id, 'cat /etc/hosts'), /10\.0\.0\.1\tdb/)
    assert.notEqual(await runIn(server.id, 'hostname'), 'server')
    // What /sys tells of is that network too, and nothing of the host's.
    assert.equal(await runIn(server.id, 'ls /sys/class/net', { userns }), 'lo')
    assert.match(await runIn(server.id, 'grep " /sys " /proc/mounts', { userns }), /^\S+ \/sys sysfs ro,/)
  })
}

test('a container that shares a network cannot change it from a user namespace of its own', async (t) => {
  if (!needsContainers(t)) return
  await using server = await start(kEcho)
  const capabilities = { add: ['NET_ADMIN', 'SYS_ADMIN'] }
  const script =
    'ip link set lo down 2>&1; mount -o remount,rw /sys 2>&1; echo 1 > /sys/class/net/lo/mtu 2>&1; ip link show lo'
  const said = await runIn(server.id, script, { capabilities, reject: false })
  assert.match(said, /Operation not permitted/)
  assert.match(said, /LOOPBACK,UP.* mtu 65536/)
})

test('a kept container shares a network by id, across starts, with exec and connect()', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  await using server = await start(['sleep', '60'], { name: 'first' })
  await using client = await start(kEcho, { network: 'container:first' })
  await server.rename('renamed')
  const socket = await connected(server)
  socket.end('by the one')
  assert.equal(await text(socket), 'by the one')
  const again = await connected(client)
  again.end('by the other')
  assert.equal(await text(again), 'by the other')
  const net = ['readlink', '/proc/self/ns/net']
  assert.equal((await client.exec(net)).stdout, (await server.exec(net)).stdout)

  // The network goes on with who is in it, and comes anew with its own container.
  const before = (await server.exec(net)).stdout
  await server.stop()
  assert.equal((await client.exec(net)).stdout, before)
  await client.stop()
  await assert.rejects(client.start(), (error) => {
    assert.ok(error instanceof ContainerStateError)
    assert.match(error.message, /^Cannot share the network of container renamed/)
    return true
  })
  assert.equal((await client.inspect()).status, 'exited')
  await server.start()
  await client.start()
  assert.equal((await client.exec(net)).stdout, (await server.exec(net)).stdout)
  await using third = await start(['sleep', '60'], { network: `container:${client.id}` })
  assert.equal((await third.exec(net)).stdout, (await server.exec(net)).stdout)
  await assert.rejects(runIn('nobody', 'true'), NotFoundError)
  await assert.rejects(Container.create(fixture.image, { engine, network: 'container:nobody' }), NotFoundError)
})

test('options that belong to the network are refused beside it', async () => {
  const { engine } = fixture
  const network = 'container:some' as const
  for (const [option, value] of Object.entries({
    hostname: 'a',
    dns: ['1.1.1.1'],
    extraHosts: { a: '1.1.1.1' },
    ports: [80],
    sysctls: { 'net.core.somaxconn': 1 },
  })) {
    await assert.rejects(Container.create(fixture.image, { engine, network, [option]: value }), (error) => {
      assert.ok(error instanceof InvalidOptionError)
      assert.match(error.option, new RegExp(`^${option}`))
      return true
    })
  }
  for (const wrong of ['container:', 'container:-x', 'container:a/b', 'bridge', 1]) {
    await assert.rejects(Container.create(fixture.image, { engine, network: wrong as 'none' }), InvalidOptionError)
  }
})

async function connected(container: Container): Promise<import('node:net').Socket> {
  let socket: import('node:net').Socket | undefined
  await until(async () => {
    socket = await container.connect(7000).catch(() => undefined)
    return socket !== undefined
  }, 'it listens')
  assert.ok(socket !== undefined)
  return socket
}
