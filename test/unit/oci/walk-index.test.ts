// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LayerError } from '../../../lib/errors.ts'
import { type Digest, digestOf } from '../../../lib/oci/digest.ts'
import { type Descriptor, kMaxIndexDepth, kMediaType, parseIndex } from '../../../lib/oci/image-config.ts'
import { kMaxIndexed, kMaxIndexedBytes, parseIndexed, walkIndex } from '../../../lib/oci/walk-index.ts'

/** Documents by digest, as a store has them. */
class Documents {
  readonly bytes = new Map<Digest, Buffer>()
  readonly reads: Digest[] = []

  add(mediaType: string, document: object): Descriptor {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, ...document }))
    const digest = digestOf(bytes)
    this.bytes.set(digest, bytes)
    return { mediaType, digest, size: bytes.length }
  }

  manifest(name: string, padding = ''): Descriptor {
    const config = { mediaType: kMediaType.config, digest: digestOf(Buffer.from(name)), size: 1 }
    return this.add(kMediaType.manifest, { config, layers: [], annotations: { name, padding } })
  }

  index(...manifests: Descriptor[]): Descriptor {
    return this.add(kMediaType.index, { manifests })
  }

  /** @returns what is visited, in its order */
  async walk(root: Descriptor): Promise<Digest[]> {
    const found: Digest[] = []
    const read = async (child: Descriptor) => {
      this.reads.push(child.digest)
      const bytes = this.bytes.get(child.digest)
      return bytes === undefined ? undefined : parseIndexed(child, bytes, 'a child')
    }
    const index = parseIndex(this.bytes.get(root.digest) ?? Buffer.alloc(0), 'the root')
    for await (const { descriptor } of walkIndex(index, 'an image', { read })) found.push(descriptor.digest)
    return found
  }
}

test('visits each document once, those below an index before it, and passes over what is not there', async () => {
  const documents = new Documents()
  const [first, second, absent] = ['first', 'second', 'absent'].map((name) => documents.manifest(name))
  assert.ok(first !== undefined && second !== undefined && absent !== undefined)
  documents.bytes.delete(absent.digest)
  const inner = documents.index(first, second, first)
  const root = documents.index(inner, absent, first, inner)
  assert.deepEqual(await documents.walk(root), [first.digest, second.digest, inner.digest])
  assert.equal(documents.reads.length, 4)
})

test('indexes nested deeper than the bound, more documents and more bytes are refused', async () => {
  const refused = async (documents: Documents, root: Descriptor, reason: RegExp): Promise<void> => {
    await assert.rejects(documents.walk(root), (error) => error instanceof LayerError && reason.test(error.message))
  }
  const deep = new Documents()
  let at = deep.index(deep.manifest('deepest'))
  for (let depth = 1; depth < kMaxIndexDepth; depth++) at = deep.index(at)
  assert.equal((await deep.walk(at)).length, kMaxIndexDepth)
  for (let more = 0; more < 1000; more++) at = deep.index(at)
  deep.reads.length = 0
  await refused(deep, at, /nested deeper than 4/)
  assert.ok(deep.reads.length <= kMaxIndexDepth)

  const many = new Documents()
  const names = Array.from({ length: kMaxIndexed + 1 }, (_, number) => many.manifest(String(number)))
  assert.equal((await many.walk(many.index(...names.slice(1)))).length, kMaxIndexed)
  many.reads.length = 0
  await refused(many, many.index(...names), /more than 1000 manifests/)
  assert.deepEqual(many.reads, [])

  const large = new Documents()
  const padding = 'x'.repeat(3_500_000)
  const padded = Array.from({ length: Math.ceil(kMaxIndexedBytes / padding.length) }, (_, number) =>
    large.manifest(String(number), padding),
  )
  await refused(large, large.index(...padded), /of more than 67108864 bytes/)
})
