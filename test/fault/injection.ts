// SPDX-License-Identifier: MIT
// Makes system calls of an engine's launcher, and of the containers being made by it, fail: strace as the kernel's bad day.
import { spawn } from 'node:child_process'
import type { Engine } from '../../lib/engine.ts'

/** Which calls fail, in strace's words: `clone3:error=ENOSYS`, `move_mount:error=EIO:when=3`. */
export type Injection = string

/** Runs `action` while system calls of the engine's launcher fail. The engine should prepare nothing ahead. */
export async function withFaults<T>(
  engine: Engine,
  faults: readonly Injection[],
  action: () => Promise<T>,
): Promise<T> {
  const { launcher } = await engine.runtime()
  const names = faults.map((fault) => fault.split(':')[0])
  const args = ['-f', '-p', String(launcher.pid), '-o', '/dev/null', '-e', `trace=${names.join(',')}`]
  for (const fault of faults) args.push('-e', `inject=${fault}`)
  const tracer = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = new Promise((resolve) => tracer.once('exit', resolve))
  await new Promise<void>((resolve, reject) => {
    let said = ''
    tracer.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.includes('attached')) resolve()
    })
    tracer.once('error', reject)
    tracer.once('exit', () => reject(new Error(`strace ended: ${said}`)))
  })
  try {
    return await action()
  } finally {
    tracer.kill('SIGINT')
    await exited
  }
}
