// SPDX-License-Identifier: MIT
// Entry of `npm run fuzz:tar`: [--seconds=60] [--seed=N] [file …]; files are inputs to try again.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { FuzzFinding, FuzzTarget, fuzzTar } from './tar-fuzzer.ts'

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' } },
  allowPositionals: true,
})
const seed = Number(values.seed ?? Date.now() % 2 ** 31)
const base = await mkdtemp(join(tmpdir(), 'wherry-fuzz-'))
try {
  if (positionals.length > 0) {
    const target = new FuzzTarget(base)
    for (const path of positionals) {
      console.log(`${path}: ${(await target.try(await readFile(path), 512)) ? 'unpacked' : 'refused'}`)
    }
  } else {
    console.log(`fuzz: seed ${seed}`)
    console.log(await fuzzTar(base, seed, Number(values.seconds) * 1000))
  }
} catch (error) {
  if (!(error instanceof FuzzFinding)) throw error
  const path = resolve(`tar-finding-${seed}`)
  await writeFile(path, error.input)
  console.error(`fuzz: ${path} breaks a promise (worth adding to test/fixtures/tar-corpus when it is mended)`)
  console.error(error.cause)
  process.exitCode = 1
} finally {
  await rm(base, { recursive: true, force: true })
}
