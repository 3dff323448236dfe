// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { Container } from '../../lib/container.ts'
import { type ContainerOptions, normalizeContainerOptions } from '../../lib/options/container-options.ts'
import { type ExecOptions, normalizeExecOptions } from '../../lib/options/exec-options.ts'
import { execInContainer } from '../../lib/runtime/exec-container.ts'
import { type SpawnedExec, spawnInContainer } from '../../lib/runtime/exec-spawn.ts'
import type { ExecTarget } from '../../lib/runtime/exec-target.ts'
import type { RunOutcome } from '../../lib/runtime/run-container.ts'
import type { Runtime } from '../../lib/runtime/runtime.ts'
import type { Setting } from './rootfs.ts'

/** A container that runs until the test is over, and programs in it. */
export interface Inside {
  target: ExecTarget
  runtime: Runtime
  exec: (command: readonly string[], options?: ExecOptions) => Promise<RunOutcome>
  spawn: (command: readonly string[], options?: ExecOptions) => Promise<SpawnedExec>
  /** Runs a shell script that must succeed. @returns its standard output */
  sh: (script: string, options?: ExecOptions) => Promise<string>
  kill: (signal: string) => void
}

/** Runs a container for as long as `body` takes. */
export async function inContainer(
  { image, fixture: { engine }, userns }: Pick<Setting, 'image' | 'fixture' | 'userns'>,
  body: (inside: Inside) => Promise<void>,
  options: ContainerOptions = {},
  command: readonly string[] = ['/bin/sleep', '1000'],
): Promise<void> {
  const runtime = await engine.runtime()
  const end = new AbortController()
  let ended: Promise<unknown> = Promise.resolve()
  const { id, pid, kill } = await new Promise<{ id: string; pid: number; kill: (signal: string) => void }>(
    (resolve, reject) => {
      const all = { ...options, engine, userns, signal: end.signal, reject: false, onStart: resolve }
      ended = Container.run(image, command, all).catch(reject)
    },
  )
  try {
    const target: ExecTarget = {
      id,
      pid,
      startTimeTicks: startTimeTicks(pid),
      hostname: id.slice(0, 12),
      cgroup: await runtime.host.driver.open(cgroupName(pid)),
      imageConfig: {},
      options: normalizeContainerOptions(command, { ...options, userns }),
    }
    const exec: Inside['exec'] = (words, more) => execInContainer(runtime, target, normalizeExecOptions(words, more))
    await body({
      target,
      runtime,
      exec,
      spawn: (words, more) => spawnInContainer(runtime, target, normalizeExecOptions(words, more)),
      sh: async (script, more) => {
        const { exit, stdout, stderr } = await exec(['/bin/sh', '-ec', script], more)
        assert.equal(exit.exitCode, 0, String(stderr))
        return String(stdout)
      },
      kill,
    })
  } finally {
    end.abort()
    await ended
  }
}

/** Clock ticks since boot. */
export function startTimeTicks(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19])
}

/** Name of the cgroup that a run has been given. */
function cgroupName(pid: number): string {
  const paths = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n')
  const own = paths.map((line) => /\/wherry\/([^/]+)$/.exec(line)?.[1]).find((name) => name !== undefined)
  return own ?? 'none'
}

/** The cgroups that programs in a container have of their own, and that are still there. */
export function execCgroups({ cgroup }: ExecTarget): string[] {
  return (cgroup?.dirs ?? [])
    .filter((dir) => existsSync(dir))
    .flatMap((dir) => readdirSync(dir).filter((name) => name.startsWith('exec-')))
}
