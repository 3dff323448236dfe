// SPDX-License-Identifier: MIT
// Run as a child: `node transfer-worker.js ROOT REFERENCE pull|push`. Says `ready`, then pulls and removes an image, or pushes it
// to new names, over and over until it is killed.
import { argv, stdout } from 'node:process'
import { Engine } from '../../lib/engine.ts'
import { ConflictError, NotFoundError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'

const [root = '', reference = '', mode = ''] = argv.slice(2)
const engine = await Engine.open({ root })
stdout.write('ready\n')
for (let turn = 0; ; turn++) {
  try {
    const image = await Image.pull(reference, { engine })
    if (mode === 'push') await image.push(reference.replace(/\/.*/, `/copy-${process.pid}-${turn}:1`))
    else await Image.remove(image.id, { engine, force: true })
  } catch (error) {
    // Another process has removed the image between two steps.
    if (!(error instanceof NotFoundError || error instanceof ConflictError)) throw error
  }
}
