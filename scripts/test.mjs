// Compiles lib/, test/, bench/ and examples/ into build-ts/, builds the probe, and runs the tests in it.
//
//   node scripts/test.mjs                   everything
//   node scripts/test.mjs unit security     folders or files below test/
//   node scripts/test.mjs --no-compile …    trust what is in build-ts/
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { buildProbe, compile, out, root } from './compile.mjs'

/** A single test file may take this long; the slowest ones build a Debian root first. */
const FILE_TIMEOUT_MS = 600_000

const options = process.argv.slice(2).filter((arg) => arg.startsWith('--'))
const selected = process.argv.slice(2).filter((arg) => !arg.startsWith('--'))
const files = (selected.length === 0 ? ['.'] : selected).flatMap((name) => testFiles(name))
if (files.length === 0) {
  console.error(`test: no *.test.ts below ${selected.map((name) => `test/${name}`).join(', ')}`)
  process.exit(1)
}

const compiled = options.includes('--no-compile') || compile()
const probed = buildProbe()
const ran = runTests(files)
if (!compiled) console.error('test: the TypeScript compiler reported errors (above)')
process.exitCode = compiled && probed && ran ? 0 : 1

function testFiles(name) {
  const path = join(root, 'test', name.replace(/^(\.\/)?test\//, ''))
  if (!existsSync(path)) return []
  if (statSync(path).isFile()) return [path]
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.name !== 'fixtures' && entry.name !== 'helpers')
    .flatMap((entry) => {
      const child = join(path, entry.name)
      if (entry.isDirectory()) return testFiles(relative(join(root, 'test'), child))
      return entry.name.endsWith('.test.ts') ? [child] : []
    })
    .sort()
}

function runTests(paths) {
  const summary = join(out, 'summary.txt')
  rmSync(summary, { force: true })
  const reporter = process.stdout.isTTY && process.env.CI === undefined ? 'spec' : 'tap'
  const args = [
    '--import',
    join(out, 'test/helpers/warnings.js'),
    '--test',
    // Files measure what they leave behind on the host, so they take turns.
    '--test-concurrency=1',
    `--test-timeout=${FILE_TIMEOUT_MS}`,
    `--test-reporter=${reporter}`,
    '--test-reporter-destination=stdout',
    `--test-reporter=${join(root, 'scripts/summary-reporter.mjs')}`,
    `--test-reporter-destination=${summary}`,
    ...paths.map((path) => join(out, relative(root, path).replace(/\.ts$/, '.js'))),
  ]
  const env = { ...process.env, UV_THREADPOOL_SIZE: String(Math.max(4, availableParallelism())) }
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env })
  if (existsSync(summary)) process.stdout.write(readFileSync(summary, 'utf8'))
  return status === 0
}
