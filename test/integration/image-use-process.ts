// SPDX-License-Identifier: MIT
// Run as a child: uses an image as a container would, says so once the note of it is written, and waits to be killed.
import { argv, stdin, stdout } from 'node:process'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'

const engine = await Engine.open({ root: argv[2] ?? '' })
const image = await Image.get(argv[3] ?? '', { engine })
image.use()
await engine.store.idle()
stdout.write('using\n')
stdin.resume()
