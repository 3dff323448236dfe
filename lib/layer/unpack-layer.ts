// SPDX-License-Identifier: MIT
import type { UnpackLayerOptions } from './unpack-options.ts'
import type { UnpackResult } from './unpack-stream.ts'
import { Unpacker } from './unpacker.ts'

/** Unpacks a single layer, as {@link Unpacker.unpack} does, with threads of its own. */
export async function unpackLayer(options: UnpackLayerOptions): Promise<UnpackResult> {
  const unpacker = new Unpacker({ maxPairs: 1 })
  try {
    return await unpacker.unpack(options)
  } finally {
    await unpacker.close()
  }
}
