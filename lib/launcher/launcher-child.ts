// SPDX-License-Identifier: MIT
import { WherryError } from '../errors.ts'
import { encodePlan } from '../plan/encode.ts'
import type { Step } from '../plan/ops.ts'
import { isNativeError } from './fs-native.ts'
import { cloneRequest, type ExitEvent, kMaxInlinePlan, parseStatus } from './messages.ts'
import type { Native } from './native.ts'
import type { NativeChannel, NativeDescriptor } from './process-native.ts'
import { type StepFailure, stepError } from './step-error.ts'

/** Turns a failed step into an error, with a hint where the host explains it. */
export type ExplainFailure = (failure: StepFailure, step: Step | undefined) => Error

const kSigkill = 9

/** How a child is looked after. */
export interface LauncherChildOptions {
  explain: ExplainFailure
  onPid: (child: LauncherChild) => void
  /** Told of SIGKILL: the end should follow soon. */
  onKill?: (child: LauncherChild) => void
  /** Whether the first plan ends in a program, and not in waiting for a second one. @default false */
  runs?: boolean
}

/** One child of the launcher: prepared by a first plan and started by a second, or started by the first. */
export class LauncherChild {
  /** Pid on the host; 0 until it is known. */
  pid = 0
  /** For signals that cannot hit another process; missing where the kernel has none. */
  #pidfd: NativeDescriptor | undefined
  /** Master side of the terminal, once the second plan has opened one; the container side takes it. */
  ptyFd = -1
  /** Settles when the first plan is done: the child waits for the second, or the program runs. */
  readonly prepared: Promise<void>
  /** Settles when the process has ended; never rejects. */
  readonly exited: Promise<ExitEvent>

  readonly #native: Native
  readonly #channel: NativeChannel
  /** The plans, as far as a step of theirs can still fail. */
  readonly #sections: (readonly Step[])[]
  readonly #explain: ExplainFailure
  #settlePrepared: { resolve: () => void; reject: (error: Error) => void } | undefined
  #settleStarted: { resolve: () => void; reject: (error: Error) => void } | undefined
  #resolveExited: (event: ExitEvent) => void = () => {}
  #exitEvent: ExitEvent | undefined
  #failure: Error | undefined
  #ended = false
  readonly #runs: boolean
  readonly #onKill: ((child: LauncherChild) => void) | undefined
  /** Whether it has said that it waits, before its pid was known. */
  #waits = false
  /** A signal that was asked for before the pid was known. */
  #pendingSignal: number | undefined

  constructor(native: Native, statusFd: number, steps: readonly Step[], options: LauncherChildOptions) {
    this.#native = native
    this.#runs = options.runs === true
    this.#onKill = options.onKill
    this.#sections = [steps]
    this.#explain = options.explain
    this.prepared = new Promise((resolve, reject) => {
      this.#settlePrepared = { resolve, reject }
    })
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve
    })
    this.prepared.catch(() => {})
    this.#channel = new native.Channel(statusFd, (message, fds) => {
      this.#onMessage(message, fds, options.onPid)
    })
    this.#channel.unref()
  }

  /** Whether the process has ended, or its preparation failed. */
  get ended(): boolean {
    return this.#ended || this.#exitEvent !== undefined
  }

  /**
   * Sends the second plan. Resolves when the program runs; rejects with the failed step, after which the process is gone.
   * Descriptors are duplicated by the kernel: the caller closes its own.
   */
  start(steps: readonly Step[], fds: readonly number[]): Promise<void> {
    this.#sections.push(steps)
    this.#channel.ref()
    return new Promise((resolve, reject) => {
      this.#settleStarted = { resolve, reject }
      if (this.ended) {
        reject(this.#failure ?? endedEarly())
        return
      }
      try {
        sendPlan(this.#native, this.#channel, encodePlan(steps), fds)
      } catch (error) {
        reject(isNativeError(error, 'EPIPE', 'ECONNRESET') ? endedEarly() : error)
      }
    })
  }

  /** Sends a signal, as soon as there is a process. One that has ended is not an error. */
  kill(signal: number): void {
    if (this.pid === 0) this.#pendingSignal = signal
    if (this.#exitEvent !== undefined || this.pid === 0) return
    if (signal === kSigkill) this.#onKill?.(this)
    try {
      if (this.#pidfd !== undefined) this.#native.pidfdSendSignal(this.#pidfd.fd, signal)
      else process.kill(this.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  /** Lets a prepared child go: it ends by itself. */
  release(): void {
    this.#channel.close()
  }

  /** The launcher looks after the process without us from now on: its end will not be told. */
  letGo(): void {
    this.#pidfd?.close()
    this.#pidfd = undefined
    this.#channel.close()
  }

  /** The launcher's word that the process is gone. */
  onExit(event: ExitEvent): void {
    this.#exitEvent = event
    this.#pidfd?.close()
    this.#pidfd = undefined
    // Whoever waits for the preparation hears from the status socket, which knows the failing step.
    this.#resolveExited(event)
  }

  #onMessage(bytes: Buffer | null, fds: number[], onPid: (child: LauncherChild) => void): void {
    if (bytes === null) {
      this.#onEnd()
      return
    }
    const message = parseStatus(bytes)
    switch (message.kind) {
      case 'pid':
        this.pid = message.pid
        if (fds[0] !== undefined) this.#pidfd = new this.#native.Descriptor(fds[0])
        onPid(this)
        if (this.#pendingSignal !== undefined) this.kill(this.#pendingSignal)
        if (this.#waits) this.#onAwait()
        break
      case 'await':
        // Who made it tells its pid, and may be slower than it is. Without that its end would never be ours.
        if (this.pid === 0) this.#waits = true
        else this.#onAwait()
        break
      case 'pty':
        this.ptyFd = fds[0] ?? -1
        break
      case 'failed':
        this.#fail(this.#explain(message.failure, this.#sections[message.failure.section]?.[message.failure.step]))
        break
    }
  }

  #onAwait(): void {
    this.#waits = false
    // Of the second plan: it waits for requests, and not for a program.
    if (this.#settlePrepared === undefined) this.#settleStarted?.resolve()
    else this.#settlePrepared.resolve()
    this.#settlePrepared = undefined
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#settlePrepared?.reject(error)
    this.#settleStarted?.reject(error)
    this.#settlePrepared = undefined
    this.#settleStarted = undefined
  }

  /** The socket closes on exec, on a failure that was told before, and when the process was killed on its way. */
  #onEnd(): void {
    if (this.#runs && this.pid !== 0) this.#settlePrepared?.resolve()
    else if (this.#settlePrepared !== undefined) this.#fail(endedEarly())
    // Killed before it has read its plan.
    if (this.#channel.wasReset) this.#settleStarted?.reject(endedEarly())
    this.#settleStarted?.resolve()
    this.#settleStarted = undefined
    // A program runs for long, and there may be many.
    this.#sections.length = 0
    if (this.pid === 0) this.#ended = true
  }
}

/** Sends a plan, in the message when it fits. */
export function sendPlan(native: Native, channel: NativeChannel, plan: Uint8Array, fds: readonly number[]): void {
  if (plan.length <= kMaxInlinePlan) {
    channel.send(cloneRequest(plan, false), fds)
    return
  }
  const memfd = native.memfd(plan)
  try {
    channel.send(cloneRequest(plan, true), [...fds, memfd])
  } finally {
    native.close(memfd)
  }
}

/** Explains without knowing the host. */
export const explainPlainly: ExplainFailure = (failure, step) => stepError(failure, step)

function endedEarly(): WherryError {
  return new WherryError('The container process ended while it was being set up.', {
    code: 'ERR_CHILD_ENDED',
    hint: 'look for a SIGKILL by the kernel (dmesg): the memory limit may be too small to start in.',
  })
}
