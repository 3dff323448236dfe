// SPDX-License-Identifier: MIT
import { join } from 'node:path'
import { runOk } from './run-child.ts'

/** Flags that keep what podman and buildah store below `dir`. */
export function podmanStorage(dir: string): string[] {
  return ['--root', join(dir, 'storage'), '--runroot', join(dir, 'runroot'), '--storage-driver', 'vfs']
}

/** Podman with a storage of its own below `dir`. @returns a function that runs it and gives its standard output */
export function podmanIn(dir: string): (...args: string[]) => Promise<string> {
  const flags = [...podmanStorage(dir), '--tmpdir', join(dir, 'podman-tmp')]
  return (...args) => runOk('podman', [...flags, ...args])
}
