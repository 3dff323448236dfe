import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LayerError } from '../../../lib/errors.ts'
import {
  checkRuntimeConfig,
  kMaxManifestBytes,
  layerMediaType,
  parseImageConfig,
  parseIndex,
  parseManifest,
} from '../../../lib/oci/image-config.ts'

const kDigest = `sha256:${'0'.repeat(64)}`

function bytes(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

test('reads a Docker configuration with null fields', () => {
  const config = parseImageConfig(
    bytes({
      architecture: 'amd64',
      os: 'linux',
      config: {
        Env: null,
        Cmd: ['sh'],
        Entrypoint: null,
        Volumes: { '/data': {} },
        ArgsEscaped: true,
        Healthcheck: { Test: ['CMD', 'x'] },
      },
      container_config: { Cmd: 7 },
      rootfs: { type: 'layers', diff_ids: [kDigest] },
      history: null,
    }),
    'config',
  )
  assert.deepEqual(config.config, { Cmd: ['sh'], Volumes: { '/data': {} }, Healthcheck: { Test: ['CMD', 'x'] } })
  assert.deepEqual(config.history, [])
  assert.deepEqual(config.rootfs.diff_ids, [kDigest])
})

test('names the field that does not fit', () => {
  const manifest = {
    schemaVersion: 2,
    config: { mediaType: 'x', digest: kDigest, size: 1 },
    layers: [{ digest: '../../x', size: 1 }],
  }
  assert.throws(
    () => parseManifest(bytes(manifest), 'sha256:m'),
    (error) => error instanceof LayerError && /field 'layers\.0\.digest' is not valid/.test(error.message),
  )
  assert.throws(() => parseManifest(bytes({ ...manifest, layers: [], schemaVersion: 1 }), 'm'), /schemaVersion/)
  assert.throws(
    () => parseIndex(bytes({ schemaVersion: 2, manifests: [{ digest: kDigest, size: -1 }] }), 'i'),
    /manifests\.0\.size/,
  )
  assert.throws(
    () => parseIndex(bytes({ schemaVersion: 2, manifests: [{ digest: kDigest, size: 1e300 }] }), 'i'),
    /size/,
  )
})

test('refuses what is no JSON, is not UTF-8, or is too long, without repeating it', () => {
  assert.throws(
    () => parseManifest(Buffer.from('root:x:0:0'), 'm'),
    (error) => error instanceof LayerError && !error.message.includes('root'),
  )
  assert.throws(() => parseManifest(Buffer.from([0xff, 0xfe]), 'm'), /not JSON in UTF-8/)
  assert.throws(() => parseManifest(new Uint8Array(kMaxManifestBytes + 1), 'm'), /at most 4194304 are read/)
})

test('does not take prototype keys for its own', () => {
  const text = `{"rootfs":{"type":"layers"},"config":{"Labels":{"__proto__":"x","a":"b"}},"__proto__":{"os":"evil"}}`
  const config = parseImageConfig(Buffer.from(text), 'c')
  assert.equal(config.os, '')
  assert.equal(config.config.Labels?.a, 'b')
  assert.equal(({} as { os?: string }).os, undefined)
})

test('checks what a caller gives more strictly', () => {
  assert.deepEqual(checkRuntimeConfig({ Cmd: ['a'] }), { config: { Cmd: ['a'] } })
  const result = checkRuntimeConfig({ Cmd: 'a' })
  assert.ok('field' in result && result.field === 'Cmd')
})

test('tells compression by the first bytes', () => {
  assert.match(layerMediaType(Buffer.from([0x1f, 0x8b, 8, 0])), /tar\+gzip$/)
  assert.match(layerMediaType(Buffer.from([0x28, 0xb5, 0x2f, 0xfd])), /tar\+zstd$/)
  assert.match(layerMediaType(Buffer.from('etc/')), /tar$/)
})

test('refuses documents whose parsing would block everything else', () => {
  const rootfs = { type: 'layers' }
  const history = Array.from({ length: 200_000 }, () => ({}))
  assert.throws(() => parseImageConfig(bytes({ rootfs, history }), 'c'), /has more than 131072 values/)
  assert.throws(() => parseManifest(Buffer.from('['.repeat(1_000_000)), 'm'), /has more than 131072 values/)
  assert.equal(parseImageConfig(bytes({ rootfs, history: history.slice(0, 1000) }), 'c').history.length, 1000)
})

test('drops null fields at any depth, and leaves nulls in lists', () => {
  const deep = `${'{"a":'.repeat(20_000)}null${'}'.repeat(20_000)}`
  const text = `{"rootfs":{"type":"layers"},"x":${deep},"config":{"Labels":null,"Healthcheck":{"Test":null}}}`
  assert.deepEqual(parseImageConfig(Buffer.from(text), 'c').config, { Healthcheck: {} })
  assert.throws(() => parseImageConfig(bytes({ rootfs: { type: 'layers' }, config: { Env: [null] } }), 'c'), /Env\.0/)
})

test('refuses a platform that would not fit into the list of images', () => {
  const rootfs = { type: 'layers' }
  for (const field of ['os', 'architecture', 'variant']) {
    assert.throws(() => parseImageConfig(bytes({ rootfs, [field]: 'x'.repeat(129) }), 'c'), new RegExp(`'${field}'`))
  }
  const entry = { digest: kDigest, size: 1, platform: { os: 'linux', 'os.version': 'x'.repeat(129) } }
  assert.throws(() => parseIndex(bytes({ schemaVersion: 2, manifests: [entry] }), 'i'), /os\.version/)
})
