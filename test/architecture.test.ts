// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'
import { packageRoot } from './helpers/package-root.ts'

/*
 * The import rule: public classes → effects → pure. A module may import from its own level and from those below. The command line
 * stands above all of it, and imports nothing but the public door.
 * lib/cgroup and lib/host are both: there a module that touches the host, by itself or by what it imports, is an effect.
 */
const LEVELS = ['base', 'pure', 'effects', 'public', 'cli'] as const
type Level = (typeof LEVELS)[number]

const BASE = new Set(['lib/errors.ts'])
const PURE_FOLDERS = new Set(['oci', 'plan', 'rootfs', 'options', 'async'])
const EFFECT_FOLDERS = new Set([
  'store',
  'layer',
  'image-archive',
  'launcher',
  'runtime',
  'containers',
  'events',
  'container-files',
  'volumes',
  'distribution',
  'registry-server',
  'transfer',
  'net',
  'readiness',
])
const MIXED_FOLDERS = new Set(['cgroup', 'host'])
const CLI_FOLDER = 'cli'
const CLI_PACKAGES = ['commander', 'cli-progress']

/** Builtins that only compute. Any other one makes a module an effect. */
const HARMLESS_BUILTINS = /^node:(path|path\/posix|util|buffer|url|crypto|stream|events)$/
/** Of others, these functions only compute. */
const HARMLESS_IMPORTS = /^import \{ (isIP|isIPv4|isIPv6)(, (isIP|isIPv4|isIPv6))* \} from 'node:net'$/gm

/** Who may touch the addon: the launcher's folder, and these. */
const NATIVE_MODULE = 'lib/launcher/native.ts'
const NATIVE_IMPORTERS = new Set([
  // Puts the parts of an engine together, and hands the addon to those that need it.
  'lib/engine.ts',
  // A process of its own, which takes its place before it opens an engine.
  'lib/attendant-process.ts',
  // Locks Docker's configuration while a login changes it; there is no engine to ask.
  'lib/registry.ts',
  // A worker thread loads its own.
  'lib/container-files/files-worker.ts',
  'lib/layer/pack-worker.ts',
  'lib/layer/unpack-worker.ts',
])

/** Synchronous calls that block the event loop belong to start-up (and to a worker thread of ours), nowhere else. */
const SYNC_CALLERS = new Set(['lib/launcher/native.ts'])
const WORKER_FILE = /-worker\.ts$/

const MAX_LINES = 400

const root = packageRoot()
const sources = sourceFiles('lib')

test('imports go from public classes to effects to pure code', () => {
  const offences = sources.flatMap((file) =>
    importsOf(file)
      // Inside a mixed folder a pure module may name the types of the others.
      .filter((target) => !MIXED_FOLDERS.has(folderOf(file)) || folderOf(target) !== folderOf(file))
      .filter((target) => LEVELS.indexOf(levelOf(target)) > LEVELS.indexOf(levelOf(file)))
      .map((target) => `${file} (${levelOf(file)}) imports ${target} (${levelOf(target)})`),
  )
  assert.deepEqual(offences, [])
})

test('the command line uses the library as its users do, and nothing else uses what it needs', () => {
  const cli = sources.filter((file) => folderOf(file) === CLI_FOLDER)
  const inward = cli.flatMap((file) =>
    importsOf(file)
      .filter((target) => folderOf(target) !== CLI_FOLDER && target !== 'lib/index.ts')
      .map((target) => `${file} imports ${target}`),
  )
  const outward = sources
    .filter((file) => folderOf(file) !== CLI_FOLDER)
    .flatMap((file) =>
      specifiersOf(file, true)
        .filter((name) => CLI_PACKAGES.includes(name))
        .map((name) => `${file} imports ${name}`),
    )
  // What draws is loaded when there is a terminal; the library, when a command needs it.
  const eager = cli.flatMap((file) =>
    staticSpecifiersOf(file)
      .filter((name) => name === 'cli-progress' || name.endsWith('/index.ts'))
      .map((name) => `${file} imports ${name} at once`),
  )
  assert.ok(cli.length > 0)
  assert.deepEqual([...inward, ...outward, ...eager], [])
})

test('pure code imports no builtin that has effects', () => {
  const offences = sources
    .filter((file) => PURE_FOLDERS.has(folderOf(file)))
    .flatMap((file) => effectfulBuiltins(file).map((builtin) => `${file} imports ${builtin}`))
  assert.deepEqual(offences, [])
})

test('only the launcher and the listed helpers import the addon', () => {
  const offences = sources
    .filter((file) => folderOf(file) !== 'launcher' && !NATIVE_IMPORTERS.has(file))
    .filter((file) => valueImportsOf(file).includes(NATIVE_MODULE))
    .map((file) => `${file} imports ${NATIVE_MODULE}`)
  assert.deepEqual(offences, [])
})

test('every folder of lib/ has a level', () => {
  const known = new Set([...PURE_FOLDERS, ...EFFECT_FOLDERS, ...MIXED_FOLDERS, CLI_FOLDER, ''])
  assert.deepEqual(
    [...new Set(sources.map(folderOf))].filter((folder) => !known.has(folder)),
    [],
  )
})

test('index.ts is the only door: it exports by name and holds no code', () => {
  const statements = withoutComments('lib/index.ts').split(/\n(?=\S)/)
  assert.deepEqual(
    statements.filter((text) => !/^(export (type )?\{|\}|import )/.test(text.trim()) && text.trim()),
    [],
  )
})

test('there are no default exports', () => {
  assert.deepEqual(
    sources.filter((file) => /^export default\b/m.test(read(file))),
    [],
  )
})

test(`no file is longer than ${MAX_LINES} lines`, () => {
  const files = [...sources, ...sourceFiles('test'), ...sourceFiles('native'), ...sourceFiles('scripts')]
  const long = files
    .map((file) => ({ file, lines: read(file).split('\n').length - 1 }))
    // Tables of numbers are read by searching, not from top to bottom.
    .filter(({ file, lines }) => lines > MAX_LINES && !/^lib\/oci\/syscalls-\w+\.ts$/.test(file))
    .map(({ file, lines }) => `${file}: ${lines}`)
  assert.deepEqual(long, [])
})

test('nothing blocks the event loop after start-up', () => {
  const offences = sources
    .filter((file) => !SYNC_CALLERS.has(file) && !WORKER_FILE.test(file))
    .flatMap((file) => {
      const calls = withoutComments(file).match(/\b(?:[a-z]\w+Sync|Atomics\.wait)\(/g) ?? []
      return calls.filter((call) => !/Native|native/.test(call)).map((call) => `${file}: ${call}…)`)
    })
  assert.deepEqual(offences, [])
})

test('every source file says its licence in the first line', () => {
  const files = [...sourceFiles('native'), ...sourceFiles('test/native'), 'test/fixtures/probe.c']
  assert.deepEqual(
    files.filter((file) => !read(file).startsWith('// SPDX-License-Identifier: MIT\n')),
    [],
  )
})

test('tests await the promises of their assertions', () => {
  const offences = sourceFiles('test')
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => (/^\s*assert\.(rejects|doesNotReject)\(/m.test(read(file)) ? [file] : []))
  assert.deepEqual(offences, [])
})

function levelOf(file: string): Level {
  if (BASE.has(file)) return 'base'
  const folder = folderOf(file)
  if (folder === '') return 'public'
  if (folder === CLI_FOLDER) return 'cli'
  if (PURE_FOLDERS.has(folder)) return 'pure'
  if (MIXED_FOLDERS.has(folder)) return isEffect(file) ? 'effects' : 'pure'
  return 'effects'
}

function isEffect(file: string, seen = new Set<string>()): boolean {
  if (seen.has(file)) return false
  seen.add(file)
  if (effectfulBuiltins(file).length > 0) return true
  return valueImportsOf(file).some((target) =>
    MIXED_FOLDERS.has(folderOf(target)) ? isEffect(target, seen) : levelOf(target) === 'effects',
  )
}

/** Name of the folder directly below lib/, or '' for lib/*.ts. */
function folderOf(file: string): string {
  const parts = file.split('/')
  return parts.length > 2 ? (parts[1] ?? '') : ''
}

function effectfulBuiltins(file: string): string[] {
  const names = specifiersIn(withoutComments(file).replace(HARMLESS_IMPORTS, ''), false)
  return names.filter((name) => name.startsWith('node:') && !HARMLESS_BUILTINS.test(name))
}

/** Modules of the project that `file` imports, types included: they couple as well. */
function importsOf(file: string): string[] {
  return resolveAll(file, specifiersOf(file, true))
}

function valueImportsOf(file: string): string[] {
  return resolveAll(file, specifiersOf(file, false))
}

function resolveAll(file: string, specifiers: string[]): string[] {
  return specifiers
    .filter((name) => name.startsWith('.'))
    .map((name) => relative(root, resolve(root, dirname(file), name)))
}

function specifiersOf(file: string, withTypes: boolean): string[] {
  return specifiersIn(withoutComments(file), withTypes)
}

/** What is loaded with the file itself. */
function staticSpecifiersOf(file: string): string[] {
  return specifiersIn(withoutComments(file).replace(/\bimport\('[^']+'\)/g, ''), false)
}

function specifiersIn(source: string, withTypes: boolean): string[] {
  const pattern = /^(?:import|export)(\s+type\b)?[^'"]*?from\s+'([^']+)'|^import\s+'([^']+)'|\bimport\('([^']+)'\)/gm
  return [...source.matchAll(pattern)]
    .filter((match) => withTypes || match[1] === undefined)
    .map((match) => match[2] ?? match[3] ?? match[4] ?? '')
}

function withoutComments(file: string): string {
  return read(file).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
}

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

function sourceFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.(ts|mjs|cc|h)$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((file) => !file.includes('fixtures'))
    .sort()
}

test('nobody opens bare descriptors with node:fs', () => {
  // In a worker thread Node remembers their numbers and closes them when the thread ends, though the addon has closed them long
  // before and another thread has the number by then.
  const offences = sources.filter((file) =>
    /import \{[^}]*\b(open|openSync)\b[^}]*\} from 'node:fs'/.test(readFileSync(join(root, file), 'utf8')),
  )
  assert.deepEqual(offences, [])
})
