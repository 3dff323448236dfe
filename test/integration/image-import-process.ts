// Run as a child: imports one tar over and over, until it is killed.
import { argv, stdout } from 'node:process'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'

const engine = await Engine.open({ root: argv[2] ?? '' })
stdout.write('ready\n')
for (;;) {
  const image = await Image.import(argv[3] ?? '', { engine })
  await image.remove()
}
