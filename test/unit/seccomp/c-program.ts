// SPDX-License-Identifier: MIT
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Compiles a C program into a directory of its own, hands over its path, and removes it afterwards. */
export function withCProgram(source: string, flags: readonly string[], use: (path: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'wherry-c-'))
  try {
    const file = join(directory, 'program.c')
    const path = join(directory, 'program')
    writeFileSync(file, source)
    const { status, stderr } = spawnSync('cc', ['-O1', '-Wall', '-Werror', '-o', path, file, ...flags], {
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(`cc failed: ${stderr}`)
    use(path)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
