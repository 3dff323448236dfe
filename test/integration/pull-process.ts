// SPDX-License-Identifier: MIT
// Run as a child: `node pull-process.js ROOT REFERENCE [TIMES]` pulls one image, TIMES at once, and prints its digest.
import { argv, stdout } from 'node:process'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'

const [root = '', reference = '', times = '1'] = argv.slice(2)
await using engine = await Engine.open({ root })
stdout.write('ready\n')
const pulls = Array.from({ length: Number(times) }, () => Image.pull(reference, { engine }))
const digests = new Set((await Promise.all(pulls)).map((image) => image.digest))
stdout.write(`${[...digests].join(' ')}\n`)
