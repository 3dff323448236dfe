// SPDX-License-Identifier: MIT
// A process that owns containers and gets killed: `node owner-process.js ROOT MARKER [loop|one]`. Prints the launcher's pid and
// the session's id; then runs short and long containers, several at once, until it dies; or one, and prints when it runs.
import { PassThrough } from 'node:stream'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'

const kWorkers = 3

const [root = '', marker = '', mode = 'loop'] = process.argv.slice(2)
const engine = await Engine.open({ root, prepared: 2 })
const { launcher } = await engine.runtime()
process.stdout.write(`owner ${launcher.pid} ${engine.store.session.id}\n`)
if (mode === 'loop') await Promise.all(Array.from({ length: kWorkers }, (_, turn) => loop(turn)))
else await one()

/** A container that outlives its owner is found by the marker in its command line. */
function command(seconds: string): string[] {
  return ['/bin/sh', '-c', `: ${marker}; echo up; trap "" TERM INT; /bin/sleep ${seconds} & wait`]
}

async function loop(turn: number): Promise<never> {
  for (let i = turn; ; i++) {
    const limits = i % 2 === 0 ? { memory: '64m' } : {}
    const long = i % 3 === 0
    await Container.run('fault', command(long ? '60' : '0.01'), {
      engine,
      reject: false,
      timeoutMs: long ? 200 : 5_000,
      ...limits,
    })
  }
}

async function one(): Promise<void> {
  const stdout = new PassThrough()
  stdout.once('data', () => process.stdout.write('running\n'))
  await Container.run('fault', command('60'), { engine, reject: false, stdout })
}
