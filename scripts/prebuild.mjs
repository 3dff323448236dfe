// Makes prebuilds/<platform>-<arch>/wherry.<libc>.node, which `npm pack` puts into the package.
//
//   node scripts/prebuild.mjs                                     for this machine
//   node scripts/prebuild.mjs --arch=arm64                        with a cross compiler (aarch64-linux-gnu-g++)
//   node scripts/prebuild.mjs --libc=musl                         on Alpine, or in a container of it
//
// The launcher travels inside the addon. It is static, so its libc need not be the addon's: WHERRY_LAUNCHER_CXX=musl-gcc
// makes it fifteen times smaller.
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { arch } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const wantedArch = option('arch') ?? arch()
const libc = option('libc') ?? (isMusl() ? 'musl' : 'glibc')

if (libc === 'musl' && !isMusl()) fail('an addon for musl has to be linked against musl: run this on Alpine')
const args = ['--napi', '--strip', '--tag-libc', libc, `--arch=${wantedArch}`, `--libc=${libc}`, '--platform=linux']
const prebuildify = join(root, 'node_modules/.bin/prebuildify')
const { status, error } = spawnSync(prebuildify, args, { cwd: root, stdio: 'inherit', env: environment() })
if (error) fail(error.message)
// What is left of a build for another machine must not be loaded here.
if (wantedArch !== arch()) rmSync(join(root, 'build'), { recursive: true, force: true })
process.exitCode = status ?? 1

function environment() {
  const env = { ...process.env, MAKEFLAGS: process.env.MAKEFLAGS ?? '-j2' }
  // Headers that were installed with Node fit it and need no download.
  const prefix = resolve(dirname(process.execPath), '..')
  if (existsSync(join(prefix, 'include/node/node_api.h'))) env.npm_package_config_node_gyp_nodedir = prefix
  if (wantedArch === arch()) return env
  const triple = { arm64: 'aarch64-linux-gnu', x64: 'x86_64-linux-gnu' }[wantedArch]
  if (triple === undefined) fail(`no cross compiler is known for ${wantedArch}; arm64 and x64 are supported`)
  const tools = { CC: 'gcc', CXX: 'g++', AR: 'ar', STRIP: 'strip' }
  for (const [name, tool] of Object.entries(tools)) env[name] ??= `${triple}-${tool}`
  env.PREBUILD_STRIP_BIN ??= env.STRIP
  return env
}

function option(name) {
  return process.argv.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3)
}

function isMusl() {
  return process.report.getReport().header.glibcVersionRuntime === undefined
}

function fail(message) {
  console.error(`prebuild: ${message}`)
  process.exit(1)
}
