// SPDX-License-Identifier: MIT
// What the container attack tests share: a program that attacks by one system call, compiled once, in an image with a shell.
import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { chmod, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { type RunOptions as AnyRunOptions, Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import type { RunResult } from '../../lib/run-result.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { missing } from '../helpers/needs.ts'
import { makeRootfsDir, packRootfs } from '../integration/rootfs.ts'

/** Options of a run whose output is text. */
export type RunOptions = AnyRunOptions & { encoding?: BufferEncoding | undefined }

/** An image made by an attacker, and runs of it. */
export interface Attack {
  readonly engine: Engine
  readonly dir: string
  /** Runs a shell script as the container's root; the exit code does not matter. @returns what it printed */
  sh(script: string, options?: RunOptions): Promise<string>
  run(command: readonly string[], options?: RunOptions): Promise<RunResult>
}

/** What an attack file needs. */
export interface AttackSetup {
  /** C source of `/attack` in the image. */
  program?: string
  /** Changes the root file system before it becomes an image. */
  prepare?: (rootfs: string) => Promise<void>
}

/** Makes the attacker's image before the tests of a file; afterwards nothing is left. */
export function useAttack(setup: AttackSetup = {}): Attack {
  checkLeftovers()
  const dir = mkdtempSync(join(tmpdir(), 'wherry-attack-'))
  let opened: Engine | undefined
  const engine = (): Engine => {
    if (opened === undefined) throw new Error('the fixture is not open')
    return opened
  }
  before(async () => {
    await chmod(dir, 0o755)
    if (missing('root') !== undefined || missing('command:busybox') !== undefined) return
    opened = await Engine.open({ root: join(dir, 'root') })
    const rootfs = await makeRootfsDir(join(dir, 'rootfs'))
    if (setup.program !== undefined) await compile(setup.program, join(dir, 'attack.c'), join(rootfs, 'attack'))
    await setup.prepare?.(rootfs)
    await Image.import(packRootfs(rootfs, join(dir, 'rootfs.tar')), { engine: opened, reference: 'attack' })
  })
  after(async () => {
    await opened?.close()
    await rm(dir, { recursive: true, force: true })
  })
  const run: Attack['run'] = (command, options = {}) =>
    Container.run('attack', command, { engine: engine(), reject: false, ...options })
  return {
    get engine() {
      return engine()
    },
    dir,
    run,
    sh: async (script, options = {}) => (await run(['/bin/sh', '-c', `exec 2>&1\n${script}`], options)).stdout,
  }
}

async function compile(program: string, source: string, target: string): Promise<void> {
  await writeFile(source, program)
  execFileSync(process.env.CC ?? 'gcc', ['-O1', '-static', '-w', '-pthread', '-o', target, source])
}
