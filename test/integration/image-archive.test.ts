import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { Header } from 'tar'
import { LayerError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { digestHex, digestOf } from '../../lib/oci/digest.ts'
import { first, makeRootfs, openEngine, packTar, tempDir } from './image-fixtures.ts'

interface Member {
  path: string
  type?: 'File' | 'Directory' | 'SymbolicLink' | 'Link' | 'CharacterDevice' | 'FIFO'
  linkpath?: string
  data?: Uint8Array | string
  /** Size in the header, where it lies. */
  size?: number
}

/** Makes a tar in memory, header by header, so that it can say what no tar program would. */
function makeTar(members: readonly Member[]): Buffer {
  const blocks: Buffer[] = []
  for (const { path, type = 'File', linkpath, data = '', size } of members) {
    const bytes = Buffer.from(data)
    const block = Buffer.alloc(512)
    const link = linkpath === undefined ? {} : { linkpath }
    new Header({
      path,
      type,
      ...link,
      size: size ?? bytes.byteLength,
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: new Date(0),
    }).encode(block)
    blocks.push(block, bytes, Buffer.alloc((512 - (bytes.byteLength % 512)) % 512))
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

async function makeDocker(
  dir: string,
): Promise<{ config: string; layer: Buffer; manifest: (layers: string[]) => string }> {
  const layer = await readFile(await packTar(await makeRootfs(dir), join(dir, 'rootfs.tar')))
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: ['sh'] },
    rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
  })
  const manifest = (layers: string[]) => JSON.stringify([{ Config: 'c.json', RepoTags: ['t:1'], Layers: layers }])
  return { config, layer, manifest }
}

test('follows links between members, in whatever order they come', async (t) => {
  const dir = await tempDir(t)
  const { config, layer, manifest } = await makeDocker(dir)
  const engine = await openEngine(t, join(dir, 'root'))
  const tar = makeTar([
    { path: 'manifest.json', data: manifest(['a/layer.tar']) },
    { path: './a/', type: 'Directory' },
    { path: 'a/layer.tar', type: 'SymbolicLink', linkpath: '../b/./real.tar' },
    { path: 'c.json', data: config },
    { path: 'b/real.tar', type: 'Link', linkpath: 'x.tar' },
    { path: 'x.tar', data: layer },
  ])
  const image = first(await Image.load(Readable.from([tar]), { engine }))
  assert.deepEqual(image.tags, ['docker.io/library/t:1'])
  assert.equal(image.layers[0]?.digest, digestOf(layer))
})

test('byte-sized pieces give the same image', async (t) => {
  const dir = await tempDir(t)
  const engine = await openEngine(t, join(dir, 'root'))
  const config = JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } })
  const tar = makeTar([
    { path: 'c.json', data: config },
    { path: 'manifest.json', data: '[{"Config":"c.json","RepoTags":null,"Layers":null}]' },
  ])
  const whole = first(await Image.load(Readable.from([tar]), { engine }))
  const pieces = first(await Image.load(Readable.from(Array.from(tar, (byte) => Buffer.from([byte]))), { engine }))
  assert.equal(whole.digest, pieces.digest)
  assert.deepEqual(whole.tags, [])
})

test('reads an archive from before manifest.json', async (t) => {
  const dir = await tempDir(t)
  const { layer } = await makeDocker(dir)
  const engine = await openEngine(t, join(dir, 'root'))
  const [base, top] = ['b'.repeat(64), 'c'.repeat(64)]
  const tar = makeTar([
    { path: `${top}/json`, data: JSON.stringify({ id: top, parent: base, os: 'linux', config: { Cmd: ['old'] } }) },
    { path: `${top}/layer.tar`, data: Buffer.alloc(1024) },
    {
      path: `${base}/json`,
      data: JSON.stringify({ id: base, created: '2015-01-01T00:00:00Z', container_config: { Cmd: ['a', 'b'] } }),
    },
    { path: `${base}/layer.tar`, data: layer },
    { path: 'repositories', data: JSON.stringify({ 'old/app': { v1: top } }) },
  ])
  const image = first(await Image.load(Readable.from([tar]), { engine }))
  assert.deepEqual(image.config.Cmd, ['old'])
  assert.deepEqual(image.tags, ['docker.io/old/app:v1'])
  assert.deepEqual(
    image.layers.map((each) => each.digest),
    [digestOf(layer), digestOf(Buffer.alloc(1024))],
  )
  assert.equal((await image.history())[0]?.createdBy, 'a b')
})

const kNever = '/tmp/wherry-escaped'

for (const [what, members, entry, reason] of [
  ['an absolute name', [{ path: kNever, data: 'x' }], kNever, /absolute name/],
  ['a name with ..', [{ path: 'a/../../x', data: 'x' }], 'a/../../x', /'\.\.'/],
  ['a symlink out', [{ path: 'l', type: 'SymbolicLink', linkpath: '../../etc/shadow' }], '../../etc/shadow', /'\.\.'/],
  ['an absolute hard link', [{ path: 'l', type: 'Link', linkpath: '/etc/shadow' }], '/etc/shadow', /absolute/],
  ['a device', [{ path: 'null', type: 'CharacterDevice' }], 'null', /CharacterDevice/],
  ['a FIFO', [{ path: 'p', type: 'FIFO' }], 'p', /FIFO/],
  [
    'a name twice',
    [
      { path: 'a', data: '1' },
      { path: './a', data: '2' },
    ],
    'a',
    /twice/,
  ],
  [
    'a layer outside',
    [{ path: 'manifest.json', data: '[{"Config":"../../etc/passwd","Layers":[]}]' }],
    '../../etc/passwd',
    /'\.\.'/,
  ],
  [
    'a link to itself',
    [{ path: 'manifest.json', type: 'SymbolicLink', linkpath: 'manifest.json' }],
    undefined,
    /no image archive/,
  ],
  [
    'a config that is absent',
    [{ path: 'manifest.json', data: '[{"Config":"c","Layers":[]}]' }],
    'c',
    /not in the archive/,
  ],
  ['a manifest that is no list', [{ path: 'manifest.json', data: '{}' }], 'manifest.json', /not valid/],
  ['a manifest without image', [{ path: 'manifest.json', data: '[]' }], 'manifest.json', /names no image/],
  ['a huge manifest', [{ path: 'manifest.json', data: Buffer.alloc(5_000_000, ' ') }], undefined, /at most 4194304/],
  ['a size beyond any disk', [{ path: 'a', size: 2 ** 45 }], 'a', /more than/],
  ['a size that lies', [{ path: 'a', size: 1_000_000 }], undefined, /not a whole tar|cut short/],
  ['nothing', [], undefined, /no image archive|not a whole tar/],
] as const satisfies readonly (readonly [string, Member[], string | undefined, RegExp])[]) {
  test(`refuses ${what}`, async (t) => {
    const dir = await tempDir(t)
    const engine = await openEngine(t, join(dir, 'root'))
    await assert.rejects(Image.load(Readable.from([makeTar(members)]), { engine }), (error) => {
      assert.ok(error instanceof LayerError, String(error))
      assert.match(error.message, reason)
      if (entry !== undefined) assert.equal(error.entry, entry)
      return true
    })
    await engine.store.idle()
    assert.deepEqual(await readdir(join(engine.root, 'tmp')), [])
    assert.deepEqual(await readdir(join(engine.root, 'oci/blobs/sha256')), [])
    assert.ok(!existsSync(kNever))
  })
}

test('a layout folder cannot name files outside of its blobs', async (t) => {
  const dir = await tempDir(t)
  const engine = await openEngine(t, join(dir, 'root'))
  await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  const manifests = [
    { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: 'sha256:../../../../etc/passwd', size: 1 },
  ]
  await writeFile(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
  await assert.rejects(
    Image.load(dir, { engine }),
    (error) => error instanceof LayerError && /manifests\.0\.digest/.test(error.message),
  )
  await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"9"}')
  await assert.rejects(
    Image.load(dir, { engine }),
    (error) => error instanceof LayerError && error.entry === 'oci-layout',
  )
})

test('the number of members is bounded', async (t) => {
  const dir = await tempDir(t)
  const engine = await openEngine(t, join(dir, 'root'))
  const members = Array.from({ length: 20_001 }, (_value, position) => ({
    path: `d${position}`,
    type: 'Directory' as const,
  }))
  await assert.rejects(Image.load(Readable.from([makeTar(members)]), { engine }), /more than 20000 members/)
})

test('a stream that fails gives its own error', async (t) => {
  const dir = await tempDir(t)
  const { layer } = await makeDocker(dir)
  const engine = await openEngine(t, join(dir, 'root'))
  const reason = new Error('the cable was pulled')
  const pieces = async function* (): AsyncGenerator<Buffer> {
    yield makeTar([{ path: digestHex(digestOf(layer)), data: layer }]).subarray(0, 100_000)
    throw reason
  }
  await assert.rejects(Image.load(Readable.from(pieces()), { engine }), reason)
  await assert.rejects(Image.import(Readable.from(pieces()), { engine }), reason)
  await engine.store.idle()
  assert.deepEqual(await readdir(join(engine.root, 'tmp')), [])
})
