import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { UnpackLayerOptions } from '../../lib/layer/unpack-options.ts'
import type { UnpackResult } from '../../lib/layer/unpack-stream.ts'
import { Unpacker } from '../../lib/layer/unpacker.ts'
import { makeTar, type TarSpec } from './make-tar.ts'

/** A place for one test to unpack into, with a file beside the target that a hostile layer would like to reach. */
export interface LayerPlace {
  base: string
  target: string
  /** Unpacks members, or the bytes of an archive. */
  unpack: (archive: readonly TarSpec[] | Buffer, options?: Partial<UnpackLayerOptions>) => Promise<UnpackResult>
  /** Names in `base`: exactly `outside` and `layer.tar`, and `layer` when something was unpacked. */
  names: () => string[]
}

/** Makes a place that goes with the test. */
export function layerPlace(t: TestContext): LayerPlace {
  const base = mkdtempSync(join(tmpdir(), 'wherry-layer-'))
  t.after(() => rmSync(base, { recursive: true, force: true }))
  const target = join(base, 'layer')
  const source = join(base, 'layer.tar')
  mkdirSync(join(base, 'outside'))
  writeFileSync(join(base, 'outside', 'file'), 'untouched')
  return {
    base,
    target,
    async unpack(archive, options) {
      writeFileSync(source, Buffer.isBuffer(archive) ? archive : makeTar(archive as readonly TarSpec[]))
      const unpacker = new Unpacker({ maxPairs: 1 })
      try {
        return await unpacker.unpack({ source, layer: 'test', targetDir: target, durable: false, ...options })
      } finally {
        await unpacker.close()
      }
    },
    names: () => readdirSync(base).sort(),
  }
}
