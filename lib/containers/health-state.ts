// SPDX-License-Identifier: MIT
import * as v from 'valibot'
import type { HealthCheck } from '../options/health-options.ts'
import { parseJson } from '../store/json.ts'

/** Whether a container is well, in Docker's words. */
export type HealthStatus = 'starting' | 'healthy' | 'unhealthy'

/** One look at a container. */
export interface HealthLook {
  /** ISO 8601. */
  readonly startedAt: string
  readonly finishedAt: string
  /** 0 is well; -1: it could not be run, or did not end in time. */
  readonly exitCode: number
  /** What it wrote, standard output and error as they came, at most 4096 bytes. */
  readonly output: string
}

/** What {@link ContainerInspection.health} tells. */
export interface ContainerHealth {
  readonly status: HealthStatus
  /** Failures since it was last well. */
  readonly failingStreak: number
  /** The last five looks, the latest last. */
  readonly log: readonly HealthLook[]
}

/** Health of one run of a container: `containers/<id>/health.json`. */
export interface HealthState extends ContainerHealth {
  /** ISO 8601: when that run was started. */
  readonly run: string
}

const kKeptLooks = 5

/** Health at the start of a run. */
export function newHealth(run: string): HealthState {
  return { run, status: 'starting', failingStreak: 0, log: [] }
}

/** What a look makes of health. Pure. */
export function afterLook(health: HealthState, look: HealthLook, check: HealthCheck): HealthState {
  const log = [...health.log, look].slice(-kKeptLooks)
  if (look.exitCode === 0) return { ...health, status: 'healthy', failingStreak: 0, log }
  const sinceStartMs = Date.parse(look.startedAt) - Date.parse(health.run)
  const isExcused = health.status === 'starting' && sinceStartMs < check.startPeriodMs
  const failingStreak = health.failingStreak + (isExcused ? 0 : 1)
  const status = failingStreak >= check.retries ? 'unhealthy' : health.status
  return { ...health, status, failingStreak, log }
}

/** How long to wait before the next look. Pure. */
export function pauseBeforeLook(health: HealthState, nowMs: number, check: HealthCheck): number {
  const isStarting = health.status === 'starting' && nowMs - Date.parse(health.run) < check.startPeriodMs
  return isStarting ? Math.min(check.startIntervalMs, check.intervalMs) : check.intervalMs
}

const healthSchema = v.object({
  run: v.string(),
  status: v.picklist(['starting', 'healthy', 'unhealthy']),
  failingStreak: v.number(),
  log: v.array(v.object({ startedAt: v.string(), finishedAt: v.string(), exitCode: v.number(), output: v.string() })),
})

/** @returns `undefined` for anything that is no health: a disk may lose bytes. */
export function parseHealth(text: string): HealthState | undefined {
  return parseJson(healthSchema, text)
}
