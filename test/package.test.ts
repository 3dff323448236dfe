// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { needs } from './helpers/needs.ts'
import { packageRoot } from './helpers/package-root.ts'
import { runChild, runModule, runOk } from './helpers/run-child.ts'

/*
 * What a user gets: a prebuild, packed, installed into an empty project without running any script, and used there.
 * Everything is made in a copy, so that neither build/ nor prebuilds/ of this tree change.
 */
const root = packageRoot()
let work = ''
let project = ''
let packed: string[] = []

before(
  async () => {
    work = await mkdtemp(join(tmpdir(), 'wherry-package-'))
    const stage = join(work, 'stage')
    await copyPackage(stage)
    await runOk('npm', ['run', '--silent', 'prebuilds'], { cwd: stage, timeoutMs: 400_000 })
    const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', work]
    const [pack] = JSON.parse(await runOk('npm', args, { cwd: stage })) as [
      { filename: string; files: { path: string }[] },
    ]
    packed = pack.files.map((file) => file.path)
    project = join(work, 'project')
    await mkdir(project)
    await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'empty', type: 'module', private: true }))
    const install = ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund']
    await runOk('npm', [...install, join(work, pack.filename)], { cwd: project, timeoutMs: 120_000 })
  },
  { timeout: 600_000 },
)

after(() => rm(work, { recursive: true, force: true }))

test('the package holds what it needs to run and to be rebuilt, and no more', () => {
  const folders = [...new Set(packed.map((path) => path.split('/')[0] ?? ''))].filter((name) => !name.includes('.'))
  assert.deepEqual(folders.sort(), ['LICENSE', 'dist', 'native', 'prebuilds', 'scripts'])
  for (const path of ['dist/index.js', 'dist/index.d.ts', 'binding.gyp', 'scripts/install.mjs', 'README.md']) {
    assert.ok(packed.includes(path), path)
  }
  assert.equal(packed.filter((path) => path.startsWith('prebuilds/')).length, 1)
})

test('installed without scripts, it loads and names its exports', async () => {
  const result = await runModule(`console.log(Object.keys(await import('wherry')).join(' '))`, { cwd: project })
  assert.equal(result.stderr, '')
  assert.match(result.stdout, /\bContainer\b.*\bImage\b/)
})

test('its command runs', async () => {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  assert.equal(await runOk('npx', ['--no-install', 'wherry', '--version'], { cwd: project }), `${version}\n`)
  const help = await runOk('npx', ['--no-install', 'wherry', 'run', '--help'], { cwd: project })
  assert.match(help, /^Usage: wherry run \[options\] <image>/)
})

test('the library loads nothing that only the command needs', async () => {
  const source = `
    import { createRequire } from 'node:module'
    await import('wherry')
    const loaded = Object.keys(createRequire(import.meta.url).cache)
    console.log(JSON.stringify(loaded.filter((file) => /commander|cli-progress/.test(file))))`
  const result = await runModule(source, { cwd: project })
  assert.equal(result.stderr, '')
  assert.equal(result.stdout, '[]\n')
})

test('installed without scripts, it runs a container', async (t) => {
  if (!needs(t, 'root', 'overlay')) return
  const source = `
    import { Container, Image } from 'wherry'
    const result = await Container.run(Image.host(), ['echo', 'hi'])
    process.stdout.write(String(result.stdout))`
  const result = await runModule(source, { cwd: project })
  assert.equal(result.stderr, '')
  assert.equal(result.stdout.trim(), 'hi')
})

test('its types serve a strict project', async () => {
  const source = `import { Container, Image } from 'wherry'\nexport const result = Container.run(Image.host(), ['true'])\n`
  await writeFile(join(project, 'use.ts'), source)
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node']
  const flags = ['--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2023,esnext.disposable']
  const modules = ['--module', 'nodenext', '--skipLibCheck', 'false']
  const { stdout } = await runChild(process.execPath, [tsc, ...flags, ...modules, ...types, 'use.ts'], { cwd: project })
  assert.deepEqual(
    stdout.split('\n').filter((line) => line.includes('wherry') || line.startsWith('use.ts')),
    [],
  )
})

test('a failed load says what was tried and what helps', async () => {
  const installed = join(project, 'node_modules/wherry')
  const broken = join(work, 'broken')
  await cp(project, broken, { recursive: true })
  await rm(join(broken, 'node_modules/wherry/prebuilds'), { recursive: true })
  const source = `
    import { Container, Image } from 'wherry'
    const error = await Container.run(Image.host(), ['true']).then(() => undefined, (e) => e)
    console.log(JSON.stringify({ code: error.code, message: error.message }))`
  const result = await runModule(source, { cwd: broken })
  const { code, message } = JSON.parse(result.stdout) as { code: string; message: string }
  assert.equal(code, 'ERR_NATIVE_LOAD')
  for (const part of ['build/Release', 'prebuilds/linux-', process.arch, /libc (glibc|musl)/, 'npm rebuild wherry']) {
    assert.match(message, new RegExp(part))
  }
  assert.ok((await readdir(installed)).includes('prebuilds'))
})

/** Copies what package.json lists, plus what a build needs. */
async function copyPackage(target: string): Promise<void> {
  const { files } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { files: string[] }
  const names = ['package.json', 'scripts', ...files.filter((name) => !/^(!.*|prebuilds|scripts\/.*)$/.test(name))]
  for (const name of names) await cp(join(root, name), join(target, name), { recursive: true })
  await symlink(join(root, 'node_modules'), join(target, 'node_modules'))
}
