// SPDX-License-Identifier: MIT
import * as v from 'valibot'
import { runtimeConfigSchema } from '../oci/image-config.ts'
import type { ImageRunConfig } from '../oci/merge-config.ts'
import type { ContainerVolume } from '../oci/volume-mounts.ts'
import type { ContainerOptions } from '../options/container-options.ts'
import type { HealthCheck } from '../options/health-options.ts'
import { type PublishedPort, publishedPortSchema } from '../options/port-options.ts'
import { type RestartState, restartSchema } from '../options/restart-policy.ts'
import { parseJson, textsByName, textsOrNullsByName } from '../store/json.ts'

/** States of a container, in Docker's words. */
export type ContainerStatus = 'created' | 'running' | 'paused' | 'restarting' | 'exited'

/** Options that a container keeps: those of a run that are data and concern more than one call. */
export type RecordedOptions = Omit<
  ContainerOptions,
  | 'stdin'
  | 'input'
  | 'stdout'
  | 'stderr'
  | 'timeoutMs'
  | 'maxOutputBytes'
  | 'signal'
  | 'onStart'
  | 'reject'
  | 'encoding'
  | 'engine'
  | 'platform'
  | 'name'
>

/** What a container was made from: `containers/<id>/container.json`, which never changes. */
export interface ContainerRecord {
  readonly formatVersion: 1
  /** 64 hexadecimal digits. */
  readonly id: string
  /** ISO 8601. */
  readonly createdAt: string
  readonly image: {
    /** Digest of the configuration; `null` for the host's files. */
    readonly id: string | null
    /** The name that it had or was asked for by. */
    readonly reference: string | null
  }
  readonly rootfs:
    | { readonly kind: 'layers'; readonly diffIds: readonly string[] }
    | { readonly kind: 'host'; readonly hide: readonly string[] }
  readonly imageConfig: ImageRunConfig
  readonly command: readonly string[] | null
  /** Variables that are taken away are `null`: JSON knows no undefined. */
  readonly options: Omit<RecordedOptions, 'env'> & {
    readonly env?: Readonly<Record<string, string | null>> | undefined
  }
  /** Its volumes; absent where they are part of the writable layer. */
  readonly volumes?: readonly ContainerVolume[] | undefined
  readonly detached: boolean
  /** Whether its standard input is there for those who attach. @default it has none */
  readonly stdin?: 'open' | 'once' | undefined
  /** How it is found out whether it is well. Absent: not at all. */
  readonly health?: HealthCheck | undefined
  readonly logs: { readonly maxBytes: number; readonly maxFiles: number }
}

/** What changes of a container: `containers/<id>/state.json`. */
export interface ContainerState {
  readonly status: ContainerStatus
  readonly name: string
  /** Digests of what must stay in the store for it. */
  readonly content: readonly string[]
  /** First process on the host, when it started, and in which boot; `null` where none runs. */
  readonly pid: number | null
  readonly startTimeTicks: number | null
  readonly bootId: string | null
  /** ISO 8601; `null`: not yet. */
  readonly startedAt: string | null
  readonly finishedAt: string | null
  /** Of the last end; 128 + n after signal n, as Docker. `null`: none yet, or nobody saw it. */
  readonly exitCode: number | null
  readonly killSignal: string | null
  readonly oomKilled: boolean
  /** Why the last start failed. */
  readonly error: string | null
  /** Whether it is removed once it has ended. */
  readonly autoRemove: boolean
  /** What the host has of its ports while it runs. */
  readonly ports?: readonly PublishedPort[]
  /** When it is started again by itself. Absent: never. */
  readonly restart?: RestartState | undefined
  /** Session of the engine that looks after it; `null` where it is detached. Absent: there is nothing to look after. */
  readonly owner?: string | null | undefined
}

/** What is read of options before they are checked as those of a call are. */
export const recordedOptionsSchema = v.looseObject({
  env: v.optional(textsOrNullsByName),
  labels: v.optional(textsByName),
})

export const stdinSchema = v.picklist(['open', 'once'])
export const healthCheckSchema = v.object({
  command: v.array(v.string()),
  intervalMs: v.number(),
  timeoutMs: v.number(),
  retries: v.number(),
  startPeriodMs: v.number(),
  startIntervalMs: v.number(),
})

const recordSchema = v.looseObject({
  formatVersion: v.literal(1),
  id: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  createdAt: v.string(),
  image: v.object({ id: v.nullable(v.string()), reference: v.nullable(v.string()) }),
  rootfs: v.variant('kind', [
    v.object({ kind: v.literal('layers'), diffIds: v.array(v.string()) }),
    v.object({ kind: v.literal('host'), hide: v.array(v.string()) }),
  ]),
  imageConfig: runtimeConfigSchema,
  command: v.nullable(v.array(v.string())),
  options: recordedOptionsSchema,
  volumes: v.optional(v.array(v.object({ target: v.string(), name: v.string(), anonymous: v.boolean() }))),
  detached: v.boolean(),
  stdin: v.optional(stdinSchema),
  health: v.optional(healthCheckSchema),
  logs: v.object({ maxBytes: v.number(), maxFiles: v.number() }),
})

const stateSchema = v.looseObject({
  status: v.picklist(['created', 'running', 'paused', 'restarting', 'exited']),
  name: v.string(),
  content: v.array(v.string()),
  pid: v.nullable(v.number()),
  startTimeTicks: v.nullable(v.number()),
  bootId: v.nullable(v.string()),
  startedAt: v.nullable(v.string()),
  finishedAt: v.nullable(v.string()),
  exitCode: v.nullable(v.number()),
  killSignal: v.nullable(v.string()),
  oomKilled: v.boolean(),
  error: v.nullable(v.string()),
  autoRemove: v.boolean(),
  ports: v.optional(v.array(publishedPortSchema)),
  restart: v.optional(restartSchema),
  owner: v.optional(v.nullable(v.string())),
})

/** @returns `undefined` for anything that is no record: files of this directory are ours, but a disk may lose bytes. */
export function parseRecord(text: string): ContainerRecord | undefined {
  return parseJson(recordSchema, text) as ContainerRecord | undefined
}

/** @returns `undefined` for anything that is no state. */
export function parseState(text: string): ContainerState | undefined {
  return parseJson(stateSchema, text) as ContainerState | undefined
}

/** How a container ended, as the launcher noted it in `containers/<id>/exit`. */
export interface ExitRecord {
  readonly pid: number
  readonly exitCode: number | null
  /** Signal number. */
  readonly signal: number | null
  readonly userMicros: number
  readonly systemMicros: number
  readonly maxRssBytes: number
  readonly oomKills: number
  /** Milliseconds since 1970. */
  readonly finishedMs: number
}

/** Reads native/supervisor.cc's record. */
export function parseExitRecord(text: string): ExitRecord | undefined {
  const fields = /^(\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+\.\d+)\n$/.exec(text)?.slice(1).map(Number)
  if (fields === undefined) return undefined
  const [pid = 0, status = 0, userMicros = 0, systemMicros = 0, maxRssBytes = 0, oomKills = 0, finished = 0] = fields
  // No such moment can be said.
  if (Number.isNaN(new Date(finished * 1000).getTime())) return undefined
  const signal = status & 0x7f
  return {
    pid,
    exitCode: signal === 0 ? (status >> 8) & 0xff : null,
    signal: signal === 0 ? null : signal,
    userMicros,
    systemMicros,
    maxRssBytes,
    oomKills,
    finishedMs: finished * 1000,
  }
}
