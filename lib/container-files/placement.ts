// SPDX-License-Identifier: MIT
import { basename, dirname } from 'node:path/posix'

/** What is copied. */
export interface CopySource {
  readonly kind: 'file' | 'directory'
  /** Its last name. */
  readonly name: string
  /** Only what is in the directory: the path ended in `/.`, or it is a root. */
  readonly contentsOnly: boolean
}

/** What is at the target, links followed. */
export interface CopyTarget {
  readonly path: string
  readonly kind: 'file' | 'directory' | undefined
}

/** Where a copy goes: what becomes `name` in `directory`, or its contents in `directory` itself. */
export interface Placement {
  readonly directory: string
  /** `undefined`: the contents. */
  readonly name: string | undefined
}

/**
 * Docker's rules for the target of a copy: a file goes into a directory that is there, or to the path; a directory goes into
 * one that is there (its contents, where the source ends in `/.`), or becomes the path. No parents are made.
 *
 * @returns a placement, or what is wrong: an errno and the words for it.
 * @source https://docs.docker.com/reference/cli/docker/container/cp/
 */
export function placeCopy(
  source: CopySource,
  target: CopyTarget,
): Placement | { code: 'ENOTDIR' | 'ENOENT'; why: string } {
  const { path, kind } = target
  const asDirectory = /(^|\/)\.?$/.test(path)
  if (kind === 'directory') {
    return { directory: path, name: source.kind === 'directory' && source.contentsOnly ? undefined : source.name }
  }
  if (kind === 'file') {
    if (source.kind === 'directory') return { code: 'ENOTDIR', why: 'a directory cannot be copied over a file' }
    if (asDirectory) return { code: 'ENOTDIR', why: 'it is no directory' }
  }
  if (kind === undefined && source.kind === 'file' && asDirectory) {
    return { code: 'ENOENT', why: 'there is no such directory' }
  }
  const plain = path.replace(/\/+\.?$/, '')
  return { directory: dirname(plain), name: basename(plain) }
}

/** Takes a path of a source apart: its directory, its last name, and whether it asks for contents only. */
export function splitSource(path: string): { directory: string; name: string; contentsOnly: boolean; follow: boolean } {
  const plain = path.replace(/(\/+\.?)+$/, '')
  const name = basename(plain)
  const contentsOnly = /\/\.$/.test(path) || plain === '' || name === '.' || name === '..'
  return {
    directory: dirname(plain === '' ? '/' : plain),
    name,
    contentsOnly,
    follow: /\/$/.test(path) || contentsOnly,
  }
}
