// SPDX-License-Identifier: MIT
// Images by the command line, against Debian's registry.
import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { ImageInspection } from '../../lib/index.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { needs } from '../helpers/needs.ts'
import { runChild } from '../helpers/run-child.ts'
import { CommandLine } from './cli-fixtures.ts'
import { run } from './image-fixtures.ts'
import { needsRegistry, type Seeded, seedRegistry } from './pull-fixtures.ts'

checkLeftovers()

interface Setting {
  readonly cli: CommandLine
  readonly registry: Seeded
  /** `127.0.0.1:port/demo:1` */
  readonly name: string
}

async function prepare(t: TestContext): Promise<Setting | undefined> {
  if (!needsRegistry(t) || !needs(t, 'root')) return undefined
  const [cli, registry] = await Promise.all([CommandLine.open(t), seedRegistry(t)])
  return { cli, registry, name: registry.reference }
}

interface Pulled {
  id: string
  digest: string
  reference: string
  isNew: boolean
}

test('pulls, lists, tags, pushes and removes', async (t) => {
  const setting = await prepare(t)
  if (setting === undefined) return
  const { cli, registry, name } = setting

  const pulled = await cli.run(['pull', name])
  assert.equal(pulled.exitCode, 0)
  assert.match(
    pulled.stdout,
    /^Digest: sha256:[0-9a-f]{64}\nStatus: Downloaded newer image for \S+demo:1\n\S+demo:1\n$/,
  )
  // Two layers, each downloaded and unpacked, in lines without control characters.
  assert.equal(pulled.stderr.match(/^[0-9a-f]{12}: Pull complete$/gm)?.length, 2)
  assert.match(pulled.stderr, /^([0-9a-f]{12}: [A-Z][a-z ]+\n)+$/)

  const again = await cli.run(['pull', '--json', name])
  assert.equal(again.stderr, '')
  const { id, digest, reference, isNew } = JSON.parse(again.stdout) as Pulled
  assert.deepEqual([reference, isNew], [name, false])
  assert.match(pulled.stdout, new RegExp(digest))
  assert.equal(await cli.ok('pull', '-q', name), `${name}\n`)

  await cli.ok('tag', name, 'alias:2')
  const short = id.slice('sha256:'.length, 'sha256:'.length + 12)
  const table = await cli.ok('images')
  assert.match(table, /^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE\n/)
  assert.match(table, new RegExp(`^alias +2 +${short} +.* +[\\d.]+MB$`, 'm'))
  assert.match(table, new RegExp(`^${registry.host}/demo +1 +${short} `, 'm'))
  assert.equal(await cli.ok('images', '-q'), `${short}\n`)
  assert.equal(await cli.ok('image', 'ls', '-q', '--no-trunc', 'alias'), `${id}\n`)
  assert.equal(await cli.ok('images', '-q', '--filter', 'reference=nothing*'), '')
  assert.match(await cli.ok('images', '--digests'), new RegExp(`DIGEST.*\n.*${digest}`))
  const [listed] = await cli.json<{ id: string; tags: string[] }[]>('images', '--json')
  assert.equal(listed?.id, id)
  assert.deepEqual([...(listed?.tags ?? [])].sort(), [name, 'docker.io/library/alias:2'])

  const target = `${registry.host}/pushed:3`
  const pushed = await cli.run(['push', 'alias:2', target])
  assert.equal(pushed.exitCode, 0, pushed.stderr)
  assert.equal(pushed.stdout, `3: digest: ${digest} size: ${await manifestBytes(target)}\n`)
  assert.match(pushed.stderr, /^[0-9a-f]{12}: (Pushed|Already exists|Mounted from another repository)$/m)
  const { uploadedBytes } = await cli.json<{ uploadedBytes: number }>('push', '--json', 'alias:2', target)
  assert.equal(uploadedBytes, 0)

  assert.equal(await cli.ok('rmi', 'alias:2'), 'Untagged: alias:2\n')
  assert.equal(await cli.ok('rmi', name), `Untagged: ${name}\nDeleted: ${id}\n`)
  assert.deepEqual(await cli.json('images', '--json'), [])
  assert.equal(await cli.ok('system', 'check'), 'Nothing is wrong.\n')
})

async function manifestBytes(reference: string): Promise<number> {
  return (await run('skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${reference}`)).length
}

test('shows history and configuration, and errors one by one', async (t) => {
  const setting = await prepare(t)
  if (setting === undefined) return
  const { cli, name } = setting
  await cli.ok('pull', '-q', name)
  assert.match(await cli.ok('history', name), /^IMAGE +CREATED +CREATED BY +SIZE +COMMENT\n[0-9a-f]{12} /)
  assert.match(await cli.ok('history', '-q', '--no-trunc', name), /^sha256:[0-9a-f]{64}\n<missing>\n/)
  const steps = await cli.json<object[]>('history', '--json', name)
  assert.ok(steps.length >= 2)

  const [image] = await cli.json<ImageInspection[]>('inspect', name)
  assert.deepEqual(image?.config.Env?.slice(-1), ['WHO=umoci'])
  const partly = await cli.run(['inspect', 'nothing', name])
  assert.equal(partly.exitCode, 1)
  assert.equal((JSON.parse(partly.stdout) as unknown[]).length, 1)
  assert.match(
    partly.stderr,
    /^wherry: There is no container and no image nothing here\.\nHint: 'wherry ps -a' and 'wherry images' show/,
  )

  await cli.fails(['pull', `${name}-not-there`], 1, /^wherry: Tag 1-not-there of \S+demo does not exist/)
  const asJson = await cli.run(['pull', '--json', `${name}-not-there`])
  const { error } = JSON.parse(asJson.stderr) as { error: { code: string; message: string } }
  assert.equal(error.code, 'ERR_NOT_FOUND')
  const debugged = await cli.run(['rmi', 'nothing'], { env: { ...cli.env, WHERRY_DEBUG: '1' } })
  assert.match(debugged.stderr, /^ {4}at /m)
})

test('saves and loads by pipes and files', async (t) => {
  const setting = await prepare(t)
  if (setting === undefined) return
  const { cli, name } = setting
  await cli.ok('pull', '-q', name)
  const other = new CommandLine(join(cli.dir, 'other'))
  const shell = (text: string) =>
    runChild('sh', ['-c', text, 'sh', name], { cwd: cli.dir, env: cli.env, timeoutMs: 30_000 })
  const save = quote(cli.words('save'))
  const piped = await shell(`${save} "$1" | ${quote(other.words('load', '-q'))}`)
  assert.equal(piped.stderr, '')
  assert.equal(piped.stdout, `Loaded image: ${name}\n`)

  const file = join(cli.dir, 'image.tar')
  await cli.ok('save', '-q', '-o', file, '--format', 'docker-archive', name)
  const toFile = await cli.run(['save', '-o', join(cli.dir, 'oci.tar'), name])
  assert.match(toFile.stderr, /oci\.tar: Writing/)
  await cli.ok('tag', name, 'another:1')
  await cli.ok('save', '-q', '-o', join(cli.dir, 'named.tar'), name)
  await other.ok('rmi', '-f', name)
  assert.equal(await other.ok('load', '-q', '-i', join(cli.dir, 'named.tar')), `Loaded image: ${name}\n`)
  await other.ok('rmi', '-f', name)
  const loaded = await other.run(['load', '-i', file])
  assert.equal(loaded.stdout, `Loaded image: ${name}\n`)
  assert.match(loaded.stderr, /image\.tar: Reading/)

  // A reader that goes away ends it without a word, and the store is as it was.
  const broken = await shell(`(${save} "$1"; echo "status $?" >&2) | head -c 100 > head`)
  assert.equal(broken.stderr, 'status 141\n')
  assert.equal((await stat(join(cli.dir, 'head'))).size, 100)
  await cli.fails(['load', '-i', join(cli.dir, 'missing.tar')], 1, /missing\.tar does not exist/)
  assert.equal(await cli.ok('system', 'check'), 'Nothing is wrong.\n')
})

function quote(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(' ')
}

test('imports, prunes and counts', async (t) => {
  const setting = await prepare(t)
  if (setting === undefined) return
  const { cli, registry } = setting
  const tar = join(registry.dir, 'rootfs.tar')
  const id = await cli.ok('import', '-c', 'ENV A=b', '-c', 'LABEL k=v', tar)
  assert.match(id, /^sha256:[0-9a-f]{64}\n$/)
  const [image] = await cli.json<ImageInspection[]>('inspect', id.trim())
  assert.deepEqual([image?.config.Env, image?.config.Labels, image?.tags], [['A=b'], { k: 'v' }, []])
  assert.match(await cli.ok('images'), /^<none> +<none> +/m)
  const stdin = await runChild('sh', ['-c', `${quote(cli.words('import', '-q', '-', 'base:1'))} < '${tar}'`])
  assert.equal(stdin.exitCode, 0, stdin.stderr)
  await cli.fails(['import', 'https://example.com/x.tar'], 1, /not fetched\.\nHint: curl/)
  await cli.fails(['import', tar, '-c', 'RUN true'], 125, /Invalid change 'RUN true'/)

  assert.match(await cli.ok('system', 'df'), /^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE\nImages +2 +0 /)
  await cli.fails(['image', 'prune'], 1, /no terminal to ask on\.\nHint: use --force/)
  const pruned = await cli.ok('image', 'prune', '-f')
  assert.match(pruned, new RegExp(`^Deleted: ${id.trim()}\nTotal reclaimed space: `))
  assert.match(await cli.ok('image', 'prune', '-f', '-a'), /^Untagged: base:1\nDeleted: /)
  assert.deepEqual(await readdir(join(cli.root, 'layers')), [])
  await cli.ok('info')
})
