// SPDX-License-Identifier: MIT
// Imports archives into the root in its first argument; tells of each where its layer is, or what went wrong.
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'

const [root = '', ...archives] = process.argv.slice(2)
const engine = await Engine.open({ root })
const results: { fs?: string | undefined; error?: string }[] = []
for (const archive of archives) {
  try {
    const { rootfs } = await Image.import(archive, { engine })
    results.push({ fs: rootfs.kind === 'layers' ? rootfs.layers[0]?.dir : undefined })
  } catch (error) {
    results.push({ error: String(error) })
  }
}
await engine.close()
console.log(JSON.stringify(results))
