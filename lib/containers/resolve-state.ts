// SPDX-License-Identifier: MIT
import { join } from 'node:path'
import { isLauncher, processStatus } from '../host/process-status.ts'
import { signalName } from '../oci/signals.ts'
import { nextRestart, type RestartState } from '../options/restart-policy.ts'
import { readBootId } from '../store/container-state.ts'
import { readIfThere } from '../store/files.ts'
import { type ExitRecord, parseExitRecord } from './record.ts'

/** What of a state tells whether there is a process. */
export interface ProcessState {
  readonly status: string
  readonly pid?: number | null | undefined
  readonly startTimeTicks?: number | null | undefined
  readonly bootId?: string | null | undefined
  readonly startedAt?: string | null | undefined
  readonly restart?: RestartState | undefined
  readonly owner?: string | null | undefined
}

/** What an end changes in a state. */
export interface EndedState {
  readonly status: 'exited' | 'restarting'
  readonly pid: null
  readonly startTimeTicks: null
  readonly bootId: null
  readonly finishedAt: string
  readonly exitCode: number
  readonly killSignal: string | null
  readonly oomKilled: boolean
  readonly restart?: RestartState | undefined
}

/** Tells whether the engine of a session lives. */
export type IsSessionAlive = (session: string) => Promise<boolean>

/** Whether a state says that there are processes. */
export function isActive({ status }: ProcessState): boolean {
  return status === 'running' || status === 'paused'
}

/**
 * How a container that its state calls running or paused has ended.
 *
 * @returns `undefined` while it lives. The record is missing where the launcher was killed and took the container along: then
 *   nobody saw the end.
 */
export async function readEnd(
  dir: string,
  state: ProcessState,
  isSessionAlive: IsSessionAlive,
): Promise<{ end: EndedState; record: ExitRecord | undefined } | undefined> {
  let record = await readExit(dir)
  if (record?.pid !== state.pid) {
    if (await isAlive(state)) return undefined
    // The launcher records first and reaps then: the record of a process that is gone is there.
    record = await readExit(dir)
    if (record?.pid !== state.pid) record = undefined
  }
  return { end: await withPolicy(state, endOf(record), isSessionAlive), record }
}

/** Whether somebody looks after a container: who started it, as long as that lives, or else the attendant of the root. */
export async function isAttended({ owner }: ProcessState, isSessionAlive: IsSessionAlive): Promise<boolean> {
  return typeof owner !== 'string' || (await isSessionAlive(owner))
}

/** One that is to be started again is not at its end. Everybody comes to the same result, before anything is done about it. */
async function withPolicy(state: ProcessState, end: EndedState, isSessionAlive: IsSessionAlive): Promise<EndedState> {
  if (state.restart === undefined || !(await isAttended(state, isSessionAlive))) return end
  const finishedMs = Date.parse(end.finishedAt)
  const startedMs = Date.parse(state.startedAt ?? end.finishedAt)
  const restart = nextRestart(state.restart, { exitCode: end.exitCode, startedMs, finishedMs })
  return restart === undefined ? end : { ...end, status: 'restarting', restart }
}

/** The launcher's record of the last end; `undefined` where there is none. */
export async function readExit(dir: string): Promise<ExitRecord | undefined> {
  const text = await readIfThere(join(dir, 'exit'))
  return text === undefined ? undefined : parseExitRecord(text)
}

const kNowhere = { status: 'exited', pid: null, startTimeTicks: null, bootId: null } as const
const kUnknownEnd = { exitCode: 137, killSignal: 'SIGKILL', oomKilled: false } as const

function endOf(record: ExitRecord | undefined): EndedState {
  if (record === undefined) return { ...kNowhere, ...kUnknownEnd, finishedAt: new Date().toISOString() }
  return {
    ...kNowhere,
    exitCode: record.exitCode ?? 128 + (record.signal ?? 0),
    killSignal: record.signal === null ? null : signalName(record.signal),
    oomKilled: record.oomKills > 0,
    finishedAt: new Date(record.finishedMs).toISOString(),
  }
}

async function isAlive({ pid, startTimeTicks, bootId }: ProcessState): Promise<boolean> {
  if (typeof pid !== 'number' || (typeof bootId === 'string' && bootId !== (await readBootId()))) return false
  const status = await processStatus(pid)
  if (status === undefined) return false
  if (typeof startTimeTicks === 'number' && status.startTimeTicks !== startTimeTicks) return false
  // About to be recorded and reaped, unless its launcher was killed: then it waits for an init that may never look.
  return !status.isZombie || (await isLauncher(status.parent))
}
