// SPDX-License-Identifier: MIT
// Run as a child: `node store-worker.js MODE JSON` with the fields of `Places`. Does one thing to a store over and over until it
// is killed. Says `ready` and waits for a line on standard input, so that several begin together. A line `begin` comes before each time and `end MILLISECONDS` after it, so that whoever kills it knows what it was at:
// what is written to a pipe is there before the next step begins.
import { once } from 'node:events'
import { argv, pid, stdin, stdout } from 'node:process'
import { Engine } from '../../lib/engine.ts'
import { ConflictError, NotFoundError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import type { Places, WorkerMode } from './store-workers.ts'

const mode = argv[2] as WorkerMode
const { root, archive, pullReference, pushHost, saveTo } = JSON.parse(argv[3] ?? '{}') as Places
const engine = await Engine.open({ root })
stdout.write('ready\n')
await once(stdin, 'data')

async function doing(work: () => Promise<unknown>): Promise<void> {
  stdout.write('begin\n')
  const begun = performance.now()
  try {
    await work()
  } catch (error) {
    stdout.write('failed\n')
    throw error
  }
  stdout.write(`end ${(performance.now() - begun).toFixed(3)}\n`)
}

/** What is done before, `doing` what is to be struck, and what is undone for the next time. */
async function turnOnce(turn: number): Promise<void> {
  switch (mode) {
    case 'pull':
      await doing(() => Image.pull(pullReference, { engine }))
      await Image.remove(pullReference, { engine, force: true })
      return
    case 'push': {
      const image = await Image.pull(pullReference, { engine })
      await doing(() => image.push(`${pushHost}/copy-${pid}-${turn}:1`))
      return
    }
    case 'load': {
      let images: Image[] = []
      await doing(async () => {
        images = await Image.load(archive, { engine })
      })
      for (const image of images) await Image.remove(image.id, { engine, force: true })
      return
    }
    case 'prune':
      await Image.load(archive, { engine })
      await doing(() => Image.prune({ engine, dangling: false }))
      return
    case 'save': {
      const images = await Image.load(archive, { engine })
      await doing(() => Image.save(images, saveTo))
      return
    }
    case 'remove': {
      const images = await Image.load(archive, { engine })
      await doing(async () => {
        for (const image of images) await Image.remove(image.id, { engine, force: true })
      })
    }
  }
}

for (let turn = 0; ; turn++) {
  try {
    await turnOnce(turn)
  } catch (error) {
    // Another process has removed the image between two steps.
    if (!(error instanceof NotFoundError || error instanceof ConflictError)) throw error
  }
}
