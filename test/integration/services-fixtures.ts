// SPDX-License-Identifier: MIT
// Servers as Debian packages them, and how a client keeps notes in each.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext } from 'node:test'
import type { Container, StartOptions } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import type { WaitCondition } from '../../lib/options/wait-options.ts'
import { debianServices } from '../helpers/debian-services.ts'
import { missing, needs, skipOrFail } from '../helpers/needs.ts'
import { PostgresClient } from '../helpers/postgres-client.ts'
import { RedisClient } from '../helpers/redis-client.ts'
import { needsContainers } from './rootfs.ts'

export interface Service {
  name: string
  options: StartOptions
  /** When it is ready: a kind of condition each. */
  ready: WaitCondition
  /** Who runs its processes inside, each once, in alphabetical order. */
  users: readonly string[]
  /** What it says last when it has been stopped as it should. */
  farewell: RegExp | undefined
  /** Once, in a fresh one. */
  prepare: (container: Container) => Promise<void>
  add: (container: Container, note: string) => Promise<void>
  notes: (container: Container) => Promise<string[]>
}

const kPassword = 'correct horse battery staple'

async function inPostgres<T>(container: Container, body: (client: PostgresClient) => Promise<T>): Promise<T> {
  const client = await PostgresClient.connect(await container.connect(5432), 'app', kPassword, 'app')
  try {
    return await body(client)
  } finally {
    client.end()
  }
}

export const postgres: Service = {
  name: 'postgres',
  options: {
    command: [
      ...['/usr/lib/postgresql/15/bin/postgres', '-D', '/var/lib/postgresql/15/main'],
      ...['-c', 'config_file=/etc/postgresql/15/main/postgresql.conf'],
      // The certificate that Debian's configuration names comes with a package that is only recommended.
      ...['-c', 'ssl=off'],
      // A fork recovers as after a crash. With fsync that begins with opening all files for writing, which copies each of them up.
      ...['-c', 'fsync=off'],
    ],
    user: 'postgres',
    stopSignal: 'SIGINT',
    // As systemd makes it.
    mounts: [{ type: 'tmpfs', target: '/run/postgresql' }],
  },
  ready: { log: /database system is ready to accept connections/ },
  users: ['postgres'],
  farewell: /database system is shut down/,
  prepare: async (container) => {
    const psql = (sql: string, ...more: string[]): Promise<unknown> =>
      container.exec(['psql', '--set=ON_ERROR_STOP=1', '--command', sql, ...more])
    await psql(`create role app login password '${kPassword}'`)
    await psql('create database app owner app')
    await inPostgres(container, (client) => client.query('create table notes (note text primary key)'))
    const wrong = PostgresClient.connect(await container.connect(5432), 'app', 'wrong', 'app')
    await assert.rejects(wrong, /password authentication failed/)
  },
  add: (container, note) =>
    inPostgres(container, async (client) => {
      await client.query(`insert into notes values ('${note}')`)
    }),
  notes: (container) =>
    inPostgres(container, async (client) => {
      const rows = await client.query('select note from notes order by 1')
      return rows.map(([note]) => note ?? '')
    }),
}

async function inRedis<T>(container: Container, body: (client: RedisClient) => Promise<T>): Promise<T> {
  const client = new RedisClient(await container.connect(6379))
  try {
    return await body(client)
  } finally {
    client.end()
  }
}

export const redis: Service = {
  name: 'redis',
  options: {
    command: [
      ...['redis-server', '/etc/redis/redis.conf', '--daemonize', 'no', '--pidfile', ''],
      ...['--logfile', '', '--appendonly', 'yes'],
    ],
    user: 'redis',
  },
  ready: { port: 6379 },
  users: ['redis'],
  farewell: /Redis is now ready to exit, bye bye/,
  prepare: (container) =>
    inRedis(container, async (client) => {
      assert.equal(await client.send('PING'), 'PONG')
      await assert.rejects(client.send('NO-SUCH-COMMAND'), /unknown command/)
    }),
  add: (container, note) =>
    inRedis(container, async (client) => {
      await client.send('SADD', 'notes', note)
    }),
  notes: (container) =>
    inRedis(container, async (client) => ((await client.send('SMEMBERS', 'notes')) as string[]).sort()),
}

const kNotes = '/var/www/html/notes'

export const nginx: Service = {
  name: 'nginx',
  options: { command: ['nginx', '-g', 'daemon off; error_log stderr;'], stopSignal: 'SIGQUIT' },
  ready: { http: '/' },
  users: ['root', 'www-data'],
  farewell: undefined,
  prepare: (container) => container.writeFile(kNotes, '', { mode: 0o644 }),
  add: async (container, note) => {
    const text = await container.readFile(kNotes, { encoding: 'utf8' })
    await container.writeFile(kNotes, `${text}${note}\n`)
  },
  notes: async (container) => {
    const response = await container.fetch('/notes')
    assert.equal(response.status, 200)
    assert.match(response.headers.get('server') ?? '', /^nginx/)
    return (await response.text()).trim().split('\n').sort()
  },
}

/** An image with all of them, in an engine of the file's own. */
export class Services {
  #parts: { dir: string; engine: Engine; image: Image } | undefined
  #reason = 'there is no Debian'

  async open(): Promise<void> {
    if (['root', 'overlay', 'command:mmdebstrap'].some((name) => missing(name as 'root') !== undefined)) return
    const { path, reason } = await debianServices()
    if (path === undefined) {
      this.#reason = reason
      return
    }
    const dir = await mkdtemp(join(tmpdir(), 'wherry-services-'))
    const engine = await Engine.open({ root: join(dir, 'root') })
    const image = await Image.import(path, { engine, reference: 'services' })
    this.#parts = { dir, engine, image }
  }

  async close(): Promise<void> {
    await this.#parts?.engine.close()
    if (this.#parts !== undefined) await rm(this.#parts.dir, { recursive: true, force: true })
  }

  /** The engine and the image, unless this test has to be skipped. */
  parts(t: TestContext): { engine: Engine; image: Image } | undefined {
    if (!needsContainers(t) || !needs(t, 'command:mmdebstrap')) return undefined
    // A mirror that cannot be reached is no fault of the host, but on continuous integration it must be seen.
    if (this.#parts === undefined) skipOrFail(t, this.#reason)
    return this.#parts
  }
}

/** Opens the services around the file's tests. */
export function useServices(): Services {
  const services = new Services()
  before(() => services.open())
  after(() => services.close())
  return services
}
