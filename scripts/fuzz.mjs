// Builds the fuzz targets with clang's libFuzzer and sanitizers, and runs each for a while.
//
//   node scripts/fuzz.mjs [--seconds=60] [target …]
//
// New inputs go to build-fuzz/corpus/; add the ones worth keeping to test/fixtures/<target>-corpus/.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const TARGETS = ['plan']

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const build = join(root, 'build-fuzz')
const args = process.argv.slice(2)
const seconds = Number(args.find((arg) => arg.startsWith('--seconds='))?.slice('--seconds='.length) ?? 60)
const chosen = args.filter((arg) => !arg.startsWith('--'))

run('cmake', ['-S', root, '-B', build, '-DWHERRY_FUZZ=ON', '-DCMAKE_CXX_COMPILER=clang++', '-DCMAKE_BUILD_TYPE=Debug'])
for (const target of chosen.length > 0 ? chosen : TARGETS) {
  run('cmake', ['--build', build, '--target', `${target}_fuzz`])
  const found = join(build, 'corpus', target)
  mkdirSync(found, { recursive: true })
  const seeds = join(root, 'test/fixtures', `${target}-corpus`)
  run(join(build, `${target}_fuzz`), [
    `-max_total_time=${seconds}`,
    '-print_final_stats=1',
    '-verbosity=1',
    `-artifact_prefix=${build}/`,
    found,
    seeds,
  ])
}

function run(command, parameters) {
  const { status, error } = spawnSync(command, parameters, { stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) {
    console.error(`fuzz: ${command} failed${error ? `: ${error.message}` : ` with status ${status}`}`)
    process.exit(1)
  }
}
