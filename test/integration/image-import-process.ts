// Run as a child: imports one tar under the given names and ends, or without names over and over until it is killed.
import { argv, stdout } from 'node:process'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'

const engine = await Engine.open({ root: argv[2] ?? '' })
stdout.write('ready\n')
const names = argv.slice(4)
for (const reference of names) await Image.import(argv[3] ?? '', { engine, reference })
while (names.length === 0) {
  const image = await Image.import(argv[3] ?? '', { engine })
  await image.remove()
}
await engine.close()
