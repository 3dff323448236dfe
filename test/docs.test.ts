// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { needs } from './helpers/needs.ts'
import { packageRoot } from './helpers/package-root.ts'
import { runChild } from './helpers/run-child.ts'

/*
 * Blocks fenced by ```ts in README.md and docs/ are type-checked; those fenced by ```ts run are run as well.
 * The emitted modules lie below the package, so that they import 'wherry' by its own name, from dist/.
 */
interface Example {
  name: string
  source: string
  runs: boolean
}

const root = packageRoot()
const work = join(root, 'build-docs')
const examples = await collect()
let compilerOutput = ''

before(async () => {
  await rm(work, { recursive: true, force: true })
  await mkdir(work, { recursive: true })
  for (const { name, source } of examples) await writeFile(join(work, `${name}.ts`), source)
  const config = { extends: '../tsconfig.json', compilerOptions: { outDir: 'out', rootDir: '.' }, include: ['*.ts'] }
  await writeFile(join(work, 'tsconfig.json'), JSON.stringify(config))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  compilerOutput = (await runChild(process.execPath, [tsc, '-p', work], { cwd: work, timeoutMs: 120_000 })).stdout
})

after(() => rm(work, { recursive: true, force: true }))

for (const { name, runs } of examples) {
  test(`type-checks: ${name}`, () => {
    const own = compilerOutput.split('\n').filter((line) => line.startsWith(`${name}.ts(`))
    assert.deepEqual(own, [])
  })
  if (!runs) continue
  test(`runs: ${name}`, async (t) => {
    if (!needs(t, 'root', 'overlay')) return
    const result = await runChild(process.execPath, [join(work, 'out', `${name}.js`)], { cwd: work })
    assert.equal(result.exitCode, 0, result.stderr)
    assert.equal(result.stderr, '')
  })
}

for (const name of (await readdir(join(root, 'examples'))).filter((file) => file.endsWith('.mjs'))) {
  test(`runs: examples/${name}`, async (t) => {
    if (!needs(t, 'root', 'overlay')) return
    const result = await runChild(process.execPath, [join(root, 'examples', name)], { cwd: work })
    assert.equal(result.stderr, '')
    assert.equal(result.exitCode, 0)
    assert.notEqual(result.stdout, '')
  })
}

test('links between the documents lead somewhere', async () => {
  const dead: string[] = []
  const names = new Set(await listing(root))
  for (const document of await documents()) {
    const text = await readFile(join(root, document), 'utf8')
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)) {
      const path = join(document, '..', target)
      if (!names.has(path.replace(/\/$/, ''))) dead.push(`${document}: ${target}`)
    }
  }
  assert.deepEqual(dead, [])
})

async function collect(): Promise<Example[]> {
  const found: Example[] = []
  for (const document of await documents()) {
    const text = await readFile(join(root, document), 'utf8')
    for (const match of text.matchAll(/^```ts( run)?\n([\s\S]*?)^```$/gm)) {
      const line = text.slice(0, match.index).split('\n').length
      const name = `${document.replace(/\W+/g, '-')}-line-${line}`
      // Without an import or export a block would be a script, and share its names with the others.
      found.push({ name, source: `${match[2] ?? ''}\nexport {}\n`, runs: match[1] !== undefined })
    }
  }
  return found
}

async function documents(): Promise<string[]> {
  const docs = await readdir(join(root, 'docs')).catch(() => [])
  const top = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md']
  return [...top, ...docs.filter((name) => name.endsWith('.md')).map((name) => join('docs', name))]
}

async function listing(dir: string): Promise<string[]> {
  const names = await readdir(dir, { withFileTypes: true })
  const skipped = /^(node_modules|\.git|build.*|dist|prebuilds)$/
  const nested = names.map(async (entry) => {
    if (skipped.test(entry.name)) return []
    const path = join(dir, entry.name)
    return [path.slice(root.length + 1), ...(entry.isDirectory() ? await listing(path) : [])]
  })
  return (await Promise.all(nested)).flat()
}
