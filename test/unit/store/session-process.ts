// Run as a child: opens a store, leaves things in it, says so on stdout, and waits to be killed.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { argv, pid, stdin, stdout } from 'node:process'
import { loadNative } from '../../../lib/launcher/native.ts'
import { Store } from '../../../lib/store/store.ts'

const store = await Store.open({ root: argv[2] ?? '', native: loadNative() })
const scratch = await store.session.createScratch()
await mkdir(join(scratch.work, 'work'), { mode: 0 })
await writeFile(join(scratch.upper, 'file'), 'x')
await mkdir(store.session.tmpPath('half'))
await writeFile(store.session.cgroupsFile, '/sys/fs/cgroup/a\n/sys/fs/cgroup/b\n')
await writeFile(store.session.pidsFile, JSON.stringify([{ pid }]))
if (argv[3] === 'lock') await store.lock('test')
stdout.write(`${store.session.id}\n`)
stdin.resume()
