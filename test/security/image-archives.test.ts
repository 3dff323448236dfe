// SPDX-License-Identifier: MIT
// Archives and layouts that lie: refused with the reason, and nothing is kept, read or changed beside them.
import assert from 'node:assert/strict'
import { mkdir, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { Image } from '../../lib/image.ts'
import { digestOf } from '../../lib/oci/digest.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { makeTar, type TarSpec } from '../helpers/make-tar.ts'
import { runOk } from '../helpers/run-child.ts'
import { assertEmpty, Blobs, kConfig, kLayer, openPlace, refused, writeLayout } from './hostile-images.ts'
import { hostileImages, oddImage } from './image-documents.ts'

checkLeftovers()

const indexOf = (...manifests: unknown[]): string => JSON.stringify({ schemaVersion: 2, manifests })

test('layouts whose documents lie', async (t) => {
  const { dir, engine } = await openPlace(t)
  for (const [name, { blobs, root, reason }] of Object.entries(hostileImages())) {
    const layout = await writeLayout(join(dir, digestOf(name).slice(7, 23)), blobs, indexOf(root))
    for (const allPlatforms of [false, true]) {
      await refused(engine, name, Image.load(layout, { engine, allPlatforms }), reason)
    }
  }
})

test('names that objects have from their prototype are fields like others', async (t) => {
  const { dir, engine } = await openPlace(t)
  const { blobs, root } = oddImage()
  const [image] = await Image.load(await writeLayout(join(dir, 'odd'), blobs, indexOf(root)), { engine })
  assert.ok(image !== undefined)
  await image.inspect()
  assert.deepEqual(await Image.list({ engine, filters: { label: ['toString=c'] } }).then((list) => list.length), 1)
  await image.remove()
  await assertEmpty(engine, 'odd')
})

test('files of a layout that are none, or lead elsewhere', async (t) => {
  const { dir, engine } = await openPlace(t)
  const blobs = new Blobs()
  const root = blobs.manifest()
  const secret = join(dir, 'secret')
  await writeFile(secret, 'root:$6$verysecret:19000::::::\n')
  const places = ['index.json', `blobs/sha256/${String(root.digest).slice(7)}`]
  for (const [number, place] of places.entries()) {
    for (const [kind, make] of Object.entries<(path: string) => Promise<unknown>>({
      fifo: (path) => runOk('mkfifo', [path]),
      directory: (path) => mkdir(path),
      zeros: (path) => symlink('/dev/zero', path),
      loop: (path) => symlink(path, path),
      dangling: (path) => symlink('/nowhere', path),
    })) {
      const layout = await writeLayout(join(dir, `${kind}-${number}`), blobs, indexOf(root))
      await unlink(join(layout, place))
      await make(join(layout, place))
      await refused(engine, kind, Image.load(layout, { engine }), /is not in the archive|no image archive|ELOOP/)
    }
    const layout = await writeLayout(join(dir, `secret-${number}`), blobs, indexOf(root))
    await unlink(join(layout, place))
    await symlink(secret, join(layout, place))
    const error: unknown = await Image.load(layout, { engine }).catch((reason: unknown) => reason)
    assert.match(String(error), /is not JSON|[Ss]ize of/)
    // Not even a few characters of it, also in what caused the error.
    assert.doesNotMatch(inspect(error), /root:|verysecret/)
    await assertEmpty(engine, 'a secret')
  }
})

const kArchive: readonly TarSpec[] = [
  { name: 'config.json', body: JSON.stringify(kConfig) },
  { name: 'layer.tar', body: kLayer },
]

const manifestJson = (fields: object): TarSpec => ({
  name: 'manifest.json',
  body: JSON.stringify([{ Config: 'config.json', Layers: ['layer.tar'], RepoTags: ['a:1'], ...fields }]),
})

test('archives whose names lead elsewhere', async (t) => {
  const { dir, engine } = await openPlace(t)
  await writeFile(join(dir, 'outside'), JSON.stringify(kConfig))
  const load = (...entries: TarSpec[]): Promise<Image[]> => Image.load(Readable.from([makeTar(entries)]), { engine })
  for (const name of ['../outside', '/etc/passwd', 'a/../../outside', '..', 'x'.repeat(5000), 'a\0b', '']) {
    const reason = /has '\.\.' in its name|absolute name|not allowed|is not in the archive/
    await refused(engine, name, load(...kArchive, manifestJson({ Config: name })), reason)
    await refused(engine, name, load(...kArchive, manifestJson({ Layers: [name] })), reason)
  }
  for (const name of ['__proto__', 'constructor', 'toString']) {
    await refused(engine, name, load(...kArchive, manifestJson({ Config: name })), /is not in the archive/)
  }
  const bad = /has '\.\.' in its name|absolute name|is there twice|no place in an image archive|is not in the archive/
  const members: Record<string, TarSpec[]> = {
    'a member out': [{ name: '../../evil', body: 'x' }],
    'an absolute member': [{ name: '/evil', body: 'x' }],
    'a link out': [{ name: 'config.json', type: '2', linkName: '../../outside' }],
    'an absolute link': [{ name: 'config.json', type: '2', linkName: '/etc/passwd' }],
    'a hard link out': [{ name: 'config.json', type: '1', linkName: '../outside' }],
    'links in circles': [
      { name: 'config.json', type: '2', linkName: 'other' },
      { name: 'other', type: '2', linkName: 'config.json' },
    ],
    'a device': [{ name: 'config.json', type: '3', deviceMajor: 1, deviceMinor: 5 }],
    'a pipe': [{ name: 'config.json', type: '6' }],
    'a member twice': [...kArchive.slice(0, 1), ...kArchive.slice(0, 1)],
  }
  for (const [name, entries] of Object.entries(members)) {
    await refused(engine, name, load(manifestJson({}), ...entries, ...kArchive.slice(1)), bad)
  }
})

test('archives without end', async (t) => {
  const { engine } = await openPlace(t)
  const load = (bytes: Buffer): Promise<Image[]> => Image.load(Readable.from([bytes]), { engine })
  const members = Array.from({ length: 30_000 }, (_, number) => ({ name: `m/${number}`, body: '' }))
  await refused(engine, 'members', load(gzipSync(makeTar(members))), /more than 20000 members/)
  const name = 'n'.repeat(1_000_000)
  await refused(engine, 'a long name', load(makeTar([{ name: 'x', pax: { path: name } }])), /name|TAR_|tar file/)
  const huge = { name: 'x', type: 'x', sizeBytes: 2 ** 30, body: '' }
  await refused(
    engine,
    'a PAX header of 1 GB',
    load(makeTar([huge, { name: 'y' }])),
    /tar file|is not in the archive|no image archive/,
  )
  const zeros = makeTar([{ name: 'manifest.json', body: Buffer.alloc(50_000_000) }])
  await refused(engine, 'a manifest of zeros', load(gzipSync(zeros)), /at most 4194304|decompression ratio exceeded/)
})
