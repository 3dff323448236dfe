// SPDX-License-Identifier: MIT
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Directory that holds package.json, binding.gyp and test/fixtures, whether this runs from sources or from build-ts/. */
export function packageRoot(): string {
  let dir = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(dir, 'binding.gyp')) && dir !== dirname(dir)) dir = dirname(dir)
  return dir
}

/** Published schemas and profiles that tests compare with. They lie beside the project, and a clone may lack them. */
export function sharedDataPath(...names: string[]): string {
  return join(packageRoot(), '../shared/data', ...names)
}

/** A file or directory below test/fixtures/. */
export function fixturePath(...names: string[]): string {
  return join(packageRoot(), 'test/fixtures', ...names)
}

/** The static executable made from test/fixtures/probe.c; `scripts/test.mjs` builds it. */
export function probePath(): string {
  return join(packageRoot(), 'build-ts/probe')
}
