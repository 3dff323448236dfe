// Makes the native addon available: takes a prebuild when one loads here, and compiles otherwise.
//
//   node scripts/install.mjs           what `npm install` runs
//   node scripts/install.mjs --build   always compile (incremental), for developing
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(join(root, 'package.json'))

if (process.platform !== 'linux') {
  // Importing wherry elsewhere is allowed (types, editors); the first call rejects with UnsupportedHostError.
  console.log(`wherry: nothing to build on ${process.platform}`)
} else if (process.argv.includes('--build') || !loads()) {
  process.exitCode = build()
}

/** Whether a prebuild or an earlier build loads in this Node. */
function loads() {
  if (existsSync(join(root, 'lib')) && !existsSync(join(root, 'prebuilds'))) return false
  try {
    require('node-gyp-build')(root)
    return true
  } catch {
    return false
  }
}

function build() {
  const gyp = findNodeGyp()
  if (gyp === undefined) {
    console.error('wherry: no prebuild fits this machine and node-gyp was not found. Run: npm install -g node-gyp')
    return 1
  }
  // Headers that were installed with Node fit it exactly and need no download.
  const prefix = resolve(dirname(process.execPath), '..')
  const local = existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : []
  const verbs = isConfigured() ? [['build']] : [['configure'], ['build']]
  for (const verb of verbs) {
    const { status, error } = spawnSync(process.execPath, [gyp, ...verb, ...local, '--loglevel=warn'], {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, MAKEFLAGS: process.env.MAKEFLAGS ?? '-j2' },
    })
    if (status !== 0) {
      console.error(`wherry: node-gyp ${verb[0]} failed${error ? `: ${error.message}` : ''}.`)
      console.error('wherry: it needs a C++17 compiler with static libc, make and Python 3.')
      return status ?? 1
    }
  }
  return 0
}

/** Whether there is a makefile, newer than the lists it was made from. */
function isConfigured() {
  const stamp = join(root, 'build/config.gypi')
  if (!existsSync(join(root, 'build/Makefile')) || !existsSync(stamp)) return false
  const inputs = ['binding.gyp', 'native/sources.txt', 'native/launcher-sources.txt']
  return inputs.every((name) => statSync(join(root, name)).mtimeMs < statSync(stamp).mtimeMs)
}

function findNodeGyp() {
  try {
    return require.resolve('node-gyp/bin/node-gyp.js')
  } catch {
    const bundled = process.env.npm_config_node_gyp
    return bundled !== undefined && existsSync(bundled) ? bundled : undefined
  }
}
