// SPDX-License-Identifier: MIT
// Records: files of a root that hold one JSON document. They are ours, but a disk may lose bytes, and another version may have written
// them.
import * as v from 'valibot'
import { readIfThere } from './files.ts'

/** @returns `undefined` for anything that is no JSON of this form. */
export function parseJson<const S extends v.GenericSchema>(schema: S, text: string): v.InferOutput<S> | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const result = v.safeParse(schema, value)
  return result.success ? result.output : undefined
}

/** Reads a file. @returns `undefined` where there is none, or it holds something else. */
export async function readJson<const S extends v.GenericSchema>(
  schema: S,
  path: string,
): Promise<v.InferOutput<S> | undefined> {
  const text = await readIfThere(path)
  return text === undefined ? undefined : parseJson(schema, text)
}

/** A form of texts by names of any kind: `v.record` passes over some names that every object knows. */
export const textsByName = v.custom<Record<string, string>>((value) => areValues(value, (text) => text !== null))
export const textsOrNullsByName = v.custom<Record<string, string | null>>((value) => areValues(value, () => true))

function areValues(value: unknown, fits: (text: string | null) => boolean): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.values(value).every((text) => (typeof text === 'string' || text === null) && fits(text))
}
