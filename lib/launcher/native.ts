import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { UnsupportedHostError, WherryError } from '../errors.ts'
import type { FileServerNative } from './file-server-native.ts'
import type { FsNative } from './fs-native.ts'
import type { LayerNative } from './layer-native.ts'
import type { ProcessNative } from './process-native.ts'

/** Everything the addon offers. Mechanism only: file descriptors, paths and bytes in; numbers and bytes out. */
export interface Native extends FsNative, FileServerNative, LayerNative, ProcessNative {}

/**
 * Loads the addon: a prebuild from the package when there is one for this platform and libc, else what `node-gyp` built.
 *
 * @throws {UnsupportedHostError} on another platform than Linux.
 * @throws {WherryError} `ERR_NATIVE_LOAD`, listing every path tried.
 */
export function loadNative(): Native {
  if (process.platform !== 'linux') {
    throw new UnsupportedHostError('containers', `the platform is ${process.platform}`, 'run on Linux (WSL 2 is Linux)')
  }
  const root = packageRoot()
  const require = createRequire(join(root, 'package.json'))
  const load = require('node-gyp-build') as ((dir: string) => Native) & { resolve: (dir: string) => string }
  try {
    return load(root)
  } catch (cause) {
    throw new WherryError(loadFailure(root, cause), {
      code: 'ERR_NATIVE_LOAD',
      hint: `run 'npm rebuild wherry' (needs a C++ compiler, make and Python)`,
      cause,
    })
  }
}

/** Directory that holds wherry's package.json, whether this file runs from lib/, dist/ or a test build. */
export function packageRoot(): string {
  let dir = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(dir, 'binding.gyp')) && dir !== dirname(dir)) dir = dirname(dir)
  return dir
}

function loadFailure(root: string, cause: unknown): string {
  const tried = ['build/Release', 'build/Debug', `prebuilds/${process.platform}-${process.arch}`].map((d) =>
    join(root, d),
  )
  return (
    `The native addon could not be loaded: ${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)}. ` +
    `Tried ${tried.join(', ')} for platform ${process.platform}, arch ${process.arch}, libc ${libc()}, Node ${process.versions.node}.`
  )
}

function libc(): string {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return report?.header?.glibcVersionRuntime === undefined ? 'musl' : 'glibc'
}
