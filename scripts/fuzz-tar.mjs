// Compiles and runs the fuzzer of the tar reader and the layer writer, which are TypeScript:
//
//   node scripts/fuzz-tar.mjs [--seconds=60] [--seed=N] [file …]
//
// It starts from test/fixtures/tar-corpus/. An input that breaks a promise is written to the working directory.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { compile, out } from './compile.mjs'

if (!compile()) console.error('fuzz: the TypeScript compiler reported errors (above)')
const { status } = spawnSync(process.execPath, [join(out, 'test/fuzz/main.js'), ...process.argv.slice(2)], {
  stdio: 'inherit',
})
process.exitCode = status ?? 1
