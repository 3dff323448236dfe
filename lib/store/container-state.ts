import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { isDigest } from '../oci/digest.ts'
import { restartSchema } from '../options/restart-policy.ts'
import { readJson } from './json.ts'

/** Name of the file of a container's directory that holds its state. */
export const kStateFile = 'state.json'

/** The fields of `containers/<id>/state.json` that the store itself reads; the rest passes through unchanged. */
const containerStateSchema = v.looseObject({
  status: v.string(),
  name: v.optional(v.string()),
  /** First process, and its start time in clock ticks since boot (field 22 of /proc/<pid>/stat). */
  pid: v.optional(v.nullable(v.number())),
  startTimeTicks: v.optional(v.nullable(v.number())),
  /** Boot that `pid` belongs to, from /proc/sys/kernel/random/boot_id. */
  bootId: v.optional(v.nullable(v.string())),
  /** Content that must not be swept: the image's manifest and its layers. */
  content: v.optional(v.array(v.pipe(v.string(), v.check(isDigest)))),
  startedAt: v.optional(v.nullable(v.string())),
  /** Its restart policy, and the session that looks after it. */
  restart: v.optional(restartSchema),
  owner: v.optional(v.nullable(v.string())),
  /** Whether the container is removed once it has ended. */
  autoRemove: v.optional(v.boolean()),
})

export type ContainerState = v.InferOutput<typeof containerStateSchema>

/** Reads a state file. @returns `undefined` where there is none, or it is not one. */
export function readContainerState(path: string): Promise<ContainerState | undefined> {
  return readJson(containerStateSchema, path)
}

/** Identifier of this boot of the kernel. */
export async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim()
}
