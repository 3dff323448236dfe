// SPDX-License-Identifier: MIT
import { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { ExecTargetFinder } from './container-exec.ts'
import type { StoredContainer } from './containers/container-store.ts'
import { readHealth, writeHealth } from './containers/health-file.ts'
import { afterLook, type HealthLook, pauseBeforeLook } from './containers/health-state.ts'
import type { Engine } from './engine.ts'
import { ContainerStateError, NotFoundError } from './errors.ts'
import { normalizeExecOptions } from './options/exec-options.ts'
import type { HealthCheck } from './options/health-options.ts'
import { execInContainer } from './runtime/exec-container.ts'

const kMaxOutput = 4096

/**
 * Looks again and again whether a container is well, for one run of it, and writes down what it finds.
 *
 * @param signal - ends it: the run is over, or nobody looks after the container any more. It then resolves.
 */
export async function watchHealth(engine: Engine, stored: StoredContainer, signal: AbortSignal): Promise<void> {
  const { health: check, id } = stored.record
  if (check === undefined) return
  const { containers, store } = engine
  const dir = containers.directory(id)
  const target = new ExecTargetFinder(engine, id)
  let health = await readHealth(dir, stored)
  while (health !== undefined && !signal.aborted) {
    await delay(pauseBeforeLook(health, Date.now(), check), undefined, { signal, ref: false }).catch(() => undefined)
    const look = signal.aborted
      ? undefined
      : await lookUndisturbed(engine, id, signal, () => lookOnce(engine, target, check, signal))
    if (look === undefined) continue
    const before = health.status
    health = afterLook(health, look, check)
    await writeHealth(dir, store.session.tmpPath('health'), health)
    if (health.status !== before) await containers.tell(stored, 'health_status', { status: health.status })
  }
}

/**
 * A look that fails tells nothing where the container's state has changed meanwhile: one that is paused stops what looks at it too,
 * until the time is up.
 */
async function lookUndisturbed(
  { containers }: Engine,
  id: string,
  signal: AbortSignal,
  look: () => Promise<HealthLook | undefined>,
): Promise<HealthLook | undefined> {
  try {
    const { state } = await containers.read(id)
    const found = await look()
    if (found === undefined || found.exitCode === 0 || signal.aborted) return found
    // The same object, as long as the file is the same.
    return (await containers.read(id)).state === state ? found : undefined
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}

/** @returns `undefined` where it cannot be told now: the container is paused or has ended. */
async function lookOnce(
  engine: Engine,
  finder: ExecTargetFinder,
  { command, timeoutMs }: HealthCheck,
  signal: AbortSignal,
): Promise<HealthLook | undefined> {
  const startedAt = new Date().toISOString()
  const output = new FirstBytes()
  const done = (exitCode: number, text: string): HealthLook => ({
    startedAt,
    finishedAt: new Date().toISOString(),
    exitCode,
    output: text,
  })
  try {
    const target = await finder.find()
    const options = normalizeExecOptions(command, { timeoutMs, signal, stdout: output, stderr: output, reject: false })
    const { exit, timedOut } = await execInContainer(await engine.runtime(), target, options)
    if (timedOut) return done(-1, `Health check exceeded timeout (${timeoutMs} ms)`)
    return done(exit.exitCode ?? -1, output.text())
  } catch (error) {
    if (signal.aborted || error instanceof ContainerStateError || error instanceof NotFoundError) return undefined
    return done(-1, error instanceof Error ? error.message.slice(0, kMaxOutput) : String(error))
  }
}

/** Keeps the first of what is written, and lets the rest go. */
class FirstBytes extends Writable {
  readonly #chunks: Buffer[] = []
  #left = kMaxOutput

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#left > 0) this.#chunks.push(Buffer.from(chunk.subarray(0, this.#left)))
    this.#left -= chunk.length
    done()
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8')
  }
}
