// SPDX-License-Identifier: MIT
// Run as a child: `node pull-process.js ROOT REFERENCE [TIMES [DIGEST]]` pulls one image, TIMES at once, and prints its digest. Before,
// it prints `downloading` for each pull that has seen some bytes of the layer DIGEST.
import { argv, stdout } from 'node:process'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import type { PullProgress } from '../../lib/transfer/pull.ts'

const [root = '', reference = '', times = '1', awaited = ''] = argv.slice(2)
await using engine = await Engine.open({ root })
stdout.write('ready\n')
const pulls = Array.from({ length: Number(times) }, () => {
  let seen = false
  const onProgress = ({ phase, digest, bytes }: PullProgress): void => {
    if (seen || phase !== 'downloading' || digest !== awaited || bytes === 0) return
    seen = true
    stdout.write('downloading\n')
  }
  return Image.pull(reference, { engine, onProgress })
})
const digests = new Set((await Promise.all(pulls)).map((image) => image.digest))
stdout.write(`${[...digests].join(' ')}\n`)
