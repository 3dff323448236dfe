// SPDX-License-Identifier: MIT
// Run as a child: `node store-worker.js ROOT ARCHIVE TARGET load|save|prune|remove`. Says `ready`, then does that over and over until
// it is killed.
import { argv, stdout } from 'node:process'
import { Engine } from '../../lib/engine.ts'
import { ConflictError, NotFoundError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'

const [root = '', archive = '', target = '', mode = ''] = argv.slice(2)
const engine = await Engine.open({ root })
stdout.write('ready\n')
for (;;) {
  try {
    const [image] = await Image.load(archive, { engine })
    await image?.tag(`worker:${mode}`)
    if (mode === 'save') await image?.save(target)
    else if (mode === 'prune') {
      await image?.untag(`worker:${mode}`)
      await Image.prune({ engine, dangling: false })
    } else if (mode === 'remove') await Image.remove(image?.id ?? '', { engine, force: true })
  } catch (error) {
    // Another process has removed the image between two steps.
    if (!(error instanceof NotFoundError || error instanceof ConflictError)) throw error
  }
}
