// Compiles and runs the benchmark; arguments go to bench/main.ts (--help lists them).
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { compile, out } from './compile.mjs'

if (!compile()) console.error('bench: the TypeScript compiler reported errors (above)')
const main = join(out, 'bench/main.js')
const { status } = spawnSync(process.execPath, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
process.exitCode = status ?? 1
