// SPDX-License-Identifier: MIT
import { type Readable, Transform, type Writable } from 'node:stream'
import { pipeWhileRead } from './async/pipe-while-read.ts'
import { type AttachmentEnd, ContainerAttachment } from './container-attachment.ts'
import { startAttended } from './container-attendance.ts'
import { ContainerObservation } from './container-observed.ts'
import { AttachClient } from './containers/attach-client.ts'
import { isLive } from './containers/end-stored.ts'
import type { Engine } from './engine.ts'
import { ContainerStateError, InvalidOptionError } from './errors.ts'
import { checkObject } from './options/checks.ts'
import { DetachKeys, parseDetachKeys } from './options/detach-keys.ts'
import type { PublishedPort } from './options/port-options.ts'
import { followOwnTerminal, makeOwnTerminalRaw } from './runtime/own-terminal.ts'

export { type AttachmentEnd, ContainerAttachment }

/** Options of {@link Container.attach} and {@link Container.startAttached}. */
export interface ContainerAttachOptions {
  /**
   * `'pipe'` is `attachment.stdin`; `'inherit'` is that of this process, whose terminal is lent to the container's meanwhile. Both
   * need a container with an open input.
   *
   * @default 'ignore'
   */
  stdin?: 'pipe' | 'ignore' | 'inherit' | undefined
  /** `'pipe'` is `attachment.stdout` and `attachment.stderr`; `'inherit'` those of this process. @default 'pipe' */
  output?: 'pipe' | 'inherit' | undefined
  /** Keys that detach, with a terminal: characters and `ctrl-<letter>`, with commas between; `''` for none. @default 'ctrl-p,ctrl-q' */
  detachKeys?: string | undefined
  /** Aborting detaches. */
  signal?: AbortSignal | undefined
}

const kLive = ['running', 'paused'] as const
const kDetachKeys = 'ctrl-p,ctrl-q'

/** A container as far as its own streams go. */
export abstract class ContainerAttachments extends ContainerObservation {
  readonly #engine: Engine

  protected constructor(engine: Engine, id: string) {
    super(engine, id)
    this.#engine = engine
  }

  /**
   * Connects to the streams of the container, whoever has started it. What it wrote before is in {@link logs}. Several may attach at
   * the same time. One that does not read holds the container's output back, for half a minute at most; then it is let go.
   *
   * @throws {ContainerStateError} when it does not run. @throws {InvalidOptionError}
   * @example
   * const attachment = await container.attach({ stdin: 'pipe' })
   * attachment.stdin?.write('status\n')
   * for await (const chunk of attachment.stdout) process.stdout.write(chunk)
   */
  async attach(options: ContainerAttachOptions = {}): Promise<ContainerAttachment> {
    const keys = checkAttachOptions(options)
    this.#engine.assertOpen()
    const stored = await this.#engine.containers.read(this.id)
    const { name, status } = stored.state
    const client = isLive(stored) ? await this.#connect(options.signal) : undefined
    if (client !== undefined) return this.#attachment(client, options, keys)
    throw new ContainerStateError(`container ${name}`, isLive(stored) ? 'exited' : status, 'attach', kLive)
  }

  /**
   * {@link start} and {@link attach} in one, so that nothing is missed of what it writes.
   *
   * @throws what the two throw
   */
  async startAttached(options: ContainerAttachOptions = {}): Promise<ContainerAttachment> {
    const keys = checkAttachOptions(options)
    this.#engine.assertOpen()
    let client: AttachClient | undefined
    try {
      const ports = await startAttended(this.#engine, this.id, async () => {
        client = await this.#connect(options.signal)
        if (client === undefined) throw new ContainerStateError(`container ${this.id}`, 'exited', 'attach', kLive)
      })
      this.started(ports)
    } catch (error) {
      client?.close()
      throw error
    }
    return this.#attachment(client as unknown as AttachClient, options, keys)
  }

  /** @internal Told of each start, with the ports that it has published. */
  protected abstract started(ports: readonly PublishedPort[]): void

  #connect(signal: AbortSignal | undefined): Promise<AttachClient | undefined> {
    return AttachClient.connect(this.#engine.containers.directory(this.id), signal)
  }

  #attachment(
    client: AttachClient,
    { stdin = 'ignore', output = 'pipe', signal }: ContainerAttachOptions,
    keys: readonly number[],
  ): ContainerAttachment {
    const undo: (() => void)[] = []
    const input = stdin === 'ignore' ? null : client.stdin
    const typed = input !== null && client.hasTerminal ? typedInto(input, keys, () => attachment.detach()) : input
    const attachment = new ContainerAttachment(client, stdin === 'pipe' ? typed : null, {
      signal,
      undo: () => {
        for (const each of undo) each()
      },
    })
    if (output === 'inherit') undo.push(...inheritOutput(client))
    if (stdin === 'inherit' && typed !== null) {
      if (client.hasTerminal) undo.push(makeOwnTerminalRaw(this.#engine.native))
      undo.push(feedFrom(process.stdin, typed))
    }
    return attachment
  }
}

/** @returns the keys that detach */
function checkAttachOptions(options: ContainerAttachOptions): number[] {
  checkObject('', options, ['stdin', 'output', 'detachKeys', 'signal'])
  const { stdin, output, detachKeys, signal } = options
  if (stdin !== undefined && !['pipe', 'ignore', 'inherit'].includes(stdin)) {
    throw new InvalidOptionError('stdin', "'pipe', 'ignore' or 'inherit'", stdin)
  }
  if (output !== undefined && !['pipe', 'inherit'].includes(output)) {
    throw new InvalidOptionError('output', "'pipe' or 'inherit'", output)
  }
  signal?.throwIfAborted()
  return parseDetachKeys(detachKeys ?? kDetachKeys)
}

function typedInto(input: Writable, keys: readonly number[], detach: () => void): Writable {
  const found = new DetachKeys(keys)
  const filter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const { passed, isDetached } = found.feed(chunk)
      done(null, passed)
      if (isDetached) setImmediate(detach)
    },
  })
  filter.pipe(input)
  // What is typed after the end is dropped.
  input.once('close', () => filter.destroy())
  filter.on('error', () => undefined)
  return filter
}

function inheritOutput(client: AttachClient): (() => void)[] {
  const undo = [pipeWhileRead(client.stdout, process.stdout)]
  if (client.stderr !== null) undo.push(pipeWhileRead(client.stderr, process.stderr))
  if (client.hasTerminal) undo.push(followOwnTerminal((rows, columns) => client.resize(rows, columns)))
  return undo
}

function feedFrom(source: Readable, target: Writable): () => void {
  source.pipe(target)
  return () => {
    source.unpipe(target)
    source.pause()
  }
}
