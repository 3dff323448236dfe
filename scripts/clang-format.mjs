// Formats the C and C++ sources; `--check` only says whether that would change anything.
import { spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const PATTERNS = ['native/**/*.cc', 'native/**/*.h', 'test/native/**/*.cc', 'test/fixtures/*.c']

const git = ['ls-files', '--cached', '--others', '--exclude-standard', '--', ...PATTERNS.map((p) => `:(glob)${p}`)]
const files = spawnSync('git', git, { cwd: root, encoding: 'utf8' }).stdout.split('\n').filter(Boolean)
const mode = process.argv.includes('--check') ? ['--dry-run', '--Werror'] : ['-i']
if (files.length > 0) {
  const { status, error } = spawnSync('clang-format', [...mode, ...files], { cwd: root, stdio: 'inherit' })
  if (error) console.error(`clang-format: ${error.message}. On Debian: apt-get install clang-format`)
  process.exitCode = status ?? 1
}
