// Compiles lib/, test/, bench/ and examples/ into build-ts/, which tests and benchmarks run from.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs'
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

/** Builds the static executable that test images hold, unless it is there. Returns whether it is there now. */
export function buildProbe(target = join(out, 'probe')) {
  const source = join(root, 'test/fixtures/probe.c')
  if (existsSync(target) && statSync(target).mtimeMs > statSync(source).mtimeMs) return true
  mkdirSync(dirname(target), { recursive: true })
  const args = ['-O1', '-static', '-Wall', '-Wextra', '-Werror', '-o', target, source]
  return spawnSync(process.env.CC ?? 'gcc', args, { stdio: 'inherit' }).status === 0
}
