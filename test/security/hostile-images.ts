// SPDX-License-Identifier: MIT
// Images that say whatever a test wishes, as documents by digest.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { Engine } from '../../lib/engine.ts'
import { WherryError } from '../../lib/errors.ts'
import { digestOf } from '../../lib/oci/digest.ts'
import { kMediaType } from '../../lib/oci/image-config.ts'
import { makeTar } from '../helpers/make-tar.ts'

/** Points to a document; every field may be as wrong as a test wishes. */
export interface LooseDescriptor {
  mediaType?: unknown
  digest?: unknown
  size?: unknown
  [field: string]: unknown
}

export type Json = Record<string, unknown>

/** A good layer with one file. */
export const kLayer = makeTar([{ name: 'hello', body: 'hello\n' }])
export const kConfig: Json = {
  os: 'linux',
  architecture: 'amd64',
  rootfs: { type: 'layers', diff_ids: [digestOf(kLayer)] },
}

/** Blobs of an image. */
export class Blobs {
  readonly bytes = new Map<string, Buffer>()

  put(mediaType: string, content: Buffer | string | Json): LooseDescriptor {
    const isJson = typeof content === 'object' && !Buffer.isBuffer(content)
    const bytes = Buffer.from(isJson ? JSON.stringify(content) : content)
    const digest = digestOf(bytes)
    this.bytes.set(digest, bytes)
    return { mediaType, digest, size: bytes.length }
  }

  config(content: Buffer | string | Json = kConfig): LooseDescriptor {
    return this.put(kMediaType.config, content)
  }

  layer(content: Buffer = kLayer): LooseDescriptor {
    return this.put(kMediaType.layerTar, content)
  }

  /** A good manifest of one layer, but for what is given. */
  manifest(fields: Json = {}): LooseDescriptor {
    const usual = { schemaVersion: 2, mediaType: kMediaType.manifest, config: this.config(), layers: [this.layer()] }
    return this.put(kMediaType.manifest, { ...usual, ...fields })
  }

  index(manifests: unknown): LooseDescriptor {
    return this.put(kMediaType.index, { schemaVersion: 2, mediaType: kMediaType.index, manifests } as Json)
  }

  /** An index of an index of an index, so many times. */
  nested(depth: number): LooseDescriptor {
    let at = this.manifest()
    for (let each = 0; each < depth; each++) at = this.index([at])
    return at
  }
}

/** An engine with a root of its own, and a directory beside it. */
export async function openPlace(t: TestContext, options: object = {}): Promise<{ dir: string; engine: Engine }> {
  const dir = await mkdtemp(join(tmpdir(), 'wherry-hostile-'))
  const engine = await Engine.open({ root: join(dir, 'root'), ...options })
  t.after(async () => {
    await engine.close()
    await rm(dir, { recursive: true, force: true })
  })
  return { dir, engine }
}

/** Writes an OCI image layout. @param index what index.json is */
export async function writeLayout(dir: string, blobs: Blobs, index: Buffer | string): Promise<string> {
  await mkdir(join(dir, 'blobs/sha256'), { recursive: true })
  await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  await writeFile(join(dir, 'index.json'), index)
  for (const [digest, bytes] of blobs.bytes) await writeFile(join(dir, 'blobs/sha256', digest.slice(7)), bytes)
  return dir
}

/** Checks that work fails by one of our errors that says why, soon, and that nothing is kept of it. */
export async function refused(engine: Engine, name: string, work: Promise<unknown>, reason: RegExp): Promise<void> {
  const begun = performance.now()
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof WherryError, `${name}: ${error instanceof Error ? error.stack : error}`)
    assert.match(error.message, reason, name)
    assert.ok(error.message.length < 2000, `${name}: a message of ${error.message.length} characters`)
    return true
  })
  assert.ok(performance.now() - begun < 60_000, `${name} took long`)
  await assertEmpty(engine, name)
}

/** Checks that a root holds no image, and nothing of one. */
export async function assertEmpty(engine: Engine, name: string): Promise<void> {
  await engine.store.idle()
  const left: string[] = []
  for (const folder of ['oci/blobs/sha256', 'layers', 'tmp']) {
    left.push(...(await readdir(join(engine.root, folder)).catch(() => [])))
  }
  assert.deepEqual(left, [], name)
  assert.deepEqual((await engine.verify()).faults, [], name)
  assert.equal(({} as Json).polluted, undefined, name)
}
