// SPDX-License-Identifier: MIT
// Run as a child, on a file system of 8 MB of its own: `node full-disk-process.js DISK ARCHIVES`. Prints what happened as JSON.
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { argv, stdout } from 'node:process'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'

const [disk = '', archives = ''] = argv.slice(2)
await using engine = await Engine.open({ root: join(disk, 'root') })
const results: Record<string, unknown> = {}

async function attempt(name: string, work: () => Promise<unknown>): Promise<void> {
  let outcome: unknown
  try {
    await work()
    outcome = 'done'
  } catch (error) {
    const { name, code, message } = error as Error & { code?: string }
    outcome = { name, code, message }
  }
  await engine.store.idle()
  const { faults } = await engine.verify()
  const tags = (await Image.list({ engine })).flatMap((image) => image.tags)
  const tmp = await readdir(join(engine.root, 'tmp'))
  results[name] = { outcome, faults, tags, tmp }
}

await attempt('small', () => Image.load(join(archives, 'small.tar'), { engine }))
await attempt('archive', () => Image.load(join(archives, 'large.tar'), { engine }))
await attempt('unpack', () => Image.load(join(archives, 'middle.tar'), { engine }))
await attempt('import', () => Image.import(join(archives, 'middle-rootfs.tar'), { engine }))
await attempt('save', async () => (await Image.get('made:small', { engine })).save(join(disk, 'saved.tar')))
await attempt('folder', async () =>
  (await Image.get('made:small', { engine })).save(join(disk, 'saved'), { format: 'oci-dir' }),
)
// To the last byte.
const filler = join(disk, 'filler')
await writeFile(filler, Buffer.alloc(8 * 1024 * 1024)).catch(() => undefined)
await attempt('tag', async () => (await Image.get('made:small', { engine })).tag('made:again'))
await attempt('open', () => Engine.open({ root: join(disk, 'other') }))
await rm(join(disk, 'other'), { recursive: true, force: true })
await rm(filler)
results.names = await readdir(disk)
stdout.write(JSON.stringify(results))
