// SPDX-License-Identifier: MIT
import * as v from 'valibot'
import { InvalidOptionError } from '../errors.ts'
import { checkNumber, checkObject, checkWord } from './checks.ts'

const kPolicies = ['no', 'on-failure', 'always', 'unless-stopped'] as const

/** When a container is started again by itself, in Docker's words. */
export type RestartPolicyName = (typeof kPolicies)[number]

/** A restart policy; a string is the same: `'always'`, `'on-failure:5'`. */
export interface RestartPolicy {
  policy: RestartPolicyName
  /** How often at most, with `on-failure`. @default no limit */
  maxRetries?: number | undefined
}

/** What a container's state keeps of its restart policy. */
export const restartSchema = v.object({
  policy: v.picklist(['on-failure', 'always', 'unless-stopped']),
  /** `0`: no limit. */
  maxRetries: v.number(),
  /** Restarts since somebody started it. */
  count: v.number(),
  /** Pause before the last restart, in milliseconds. */
  delayMs: v.number(),
  /** When it is due, milliseconds since 1970; `null` while none is. */
  dueMs: v.nullable(v.number()),
  /** The boot in which somebody stopped it; `null`: nobody has. */
  stoppedIn: v.nullable(v.string()),
})

export type RestartState = Readonly<v.InferOutput<typeof restartSchema>>

/** The pause doubles from one restart to the next, up to a minute; a run of ten seconds begins anew. */
const kFirstDelayMs = 100
const kLongestDelayMs = 60_000
const kLongRunMs = 10_000

/** Checks a restart policy. @returns `undefined` for none. @throws {InvalidOptionError} */
export function checkRestart(value: unknown): RestartState | undefined {
  if (value === undefined) return undefined
  const { policy, maxRetries } = typeof value === 'string' ? splitWord(value) : checkPolicy(value)
  if (maxRetries > 0 && policy !== 'on-failure') {
    throw new InvalidOptionError('restart', "a number of restarts with 'on-failure' only", value)
  }
  if (policy === 'no') return undefined
  return { policy, maxRetries, count: 0, delayMs: 0, dueMs: null, stoppedIn: null }
}

function splitWord(text: string): { policy: RestartPolicyName; maxRetries: number } {
  const [, word = '', count] = /^([a-z-]*)(?::(\d{1,9}))?$/.exec(text) ?? []
  const policy = kPolicies.find((name) => name === word)
  if (policy !== undefined) return { policy, maxRetries: Number(count ?? 0) }
  throw new InvalidOptionError('restart', `one of ${kPolicies.join(', ')}, or on-failure:5`, text)
}

function checkPolicy(value: unknown): { policy: RestartPolicyName; maxRetries: number } {
  const { policy, maxRetries } = checkObject('restart', value, ['policy', 'maxRetries'])
  return {
    policy: checkWord('restart.policy', policy, kPolicies),
    maxRetries: checkNumber('restart.maxRetries', maxRetries, { min: 0, max: 1_000_000_000, integer: true }) ?? 0,
  }
}

/** How a run of a container ended, as far as its policy goes. */
export interface RunEnd {
  readonly exitCode: number
  readonly startedMs: number
  readonly finishedMs: number
}

/** What a policy makes of an end: the state with the next restart in it, or `undefined` where there is none. Pure. */
export function nextRestart(restart: RestartState, end: RunEnd): RestartState | undefined {
  const { policy, maxRetries, count, stoppedIn } = restart
  if (stoppedIn !== null) return undefined
  if (policy === 'on-failure' && (end.exitCode === 0 || (maxRetries > 0 && count >= maxRetries))) return undefined
  const isFresh = restart.delayMs === 0 || end.finishedMs - end.startedMs >= kLongRunMs
  const delayMs = isFresh ? kFirstDelayMs : Math.min(restart.delayMs * 2, kLongestDelayMs)
  return { ...restart, count: count + 1, delayMs, dueMs: end.finishedMs + delayMs }
}

/** Whether a container that was stopped comes back with the host, as `always` does. Pure. */
export function returnsWithHost(restart: RestartState | undefined, bootId: string): boolean {
  return restart?.policy === 'always' && restart.stoppedIn !== null && restart.stoppedIn !== bootId
}
