// Compiles lib/, test/, bench/ and examples/ into build-ts/, which tests and benchmarks run from.
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
export const out = join(root, 'build-ts')

/** Empties and fills build-ts/. Returns whether there were no type errors; files are emitted in spite of them. */
export function compile() {
  rmSync(out, { recursive: true, force: true })
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  return spawnSync(process.execPath, [tsc, '-p', root, '--outDir', out], { stdio: 'inherit' }).status === 0
}
