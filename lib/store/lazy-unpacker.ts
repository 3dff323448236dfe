import type { LayerLimits } from '../layer/limits.ts'
import type { Unpacker } from '../layer/unpacker.ts'
import type { UnpackLayer } from './layer-store.ts'

/** An unpacker that is loaded with the first layer: an engine that only runs containers needs none. */
export class LazyUnpacker {
  readonly unpack: UnpackLayer
  #unpacker: Promise<Unpacker> | undefined

  constructor(limits: Partial<LayerLimits> | undefined) {
    this.unpack = async (options) => (await this.#load()).unpack({ ...options, limits })
  }

  /** Starts threads for so many layers that will come soon. */
  async prepare(layers: number): Promise<void> {
    const unpacker = await this.#load()
    unpacker.prepare(layers)
  }

  #load(): Promise<Unpacker> {
    this.#unpacker ??= load()
    return this.#unpacker
  }

  /** Ends its threads; what is still being unpacked fails. */
  async close(): Promise<void> {
    await (await this.#unpacker)?.close()
  }
}

async function load(): Promise<Unpacker> {
  const { Unpacker } = await import('../layer/unpacker.ts')
  return new Unpacker()
}
