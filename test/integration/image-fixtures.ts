import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { Engine } from '../../lib/engine.ts'

const execFileAsync = promisify(execFile)

/** Runs a program and gives its standard output; a failure carries its standard error. */
export async function run(command: string, ...args: string[]): Promise<string> {
  const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` }
  return (await execFileAsync(command, args, { env, maxBuffer: 64 * 1024 * 1024 })).stdout
}

/** A directory that is gone after the test. */
export async function tempDir(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'wherry-image-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

/** An engine on a root of its own, closed after the test. */
export async function openEngine(t: TestContext, root: string): Promise<Engine> {
  const engine = await Engine.open({ root })
  t.after(() => engine.close())
  return engine
}

/** Makes a small root file system with busybox. @returns its directory. */
export async function makeRootfs(dir: string): Promise<string> {
  const rootfs = join(dir, 'rootfs')
  for (const name of ['bin', 'etc', 'tmp']) await mkdir(join(rootfs, name), { recursive: true })
  await copyFile('/bin/busybox', join(rootfs, 'bin/busybox'))
  await symlink('busybox', join(rootfs, 'bin/sh'))
  await writeFile(join(rootfs, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n')
  return rootfs
}

/** Packs a directory with the system's tar. @returns the tar's path. */
export async function packTar(dir: string, tar: string, member = '.'): Promise<string> {
  await run('tar', '--numeric-owner', '--owner=0', '--group=0', '-C', dir, '-cf', tar, member)
  return tar
}

/** Makes an OCI layout with umoci, which is not ours: two layers, a command, an environment. @returns the folder. */
export async function makeOciLayout(dir: string, tag = 'demo'): Promise<string> {
  const rootfs = await makeRootfs(dir)
  await mkdir(join(dir, 'srv'))
  await writeFile(join(dir, 'srv/hello'), 'from the second layer\n')
  const layout = join(dir, 'layout')
  const image = `${layout}:${tag}`
  await run('umoci', 'init', '--layout', layout)
  await run('umoci', 'new', '--image', image)
  await run('umoci', 'raw', 'add-layer', '--image', image, await packTar(rootfs, join(dir, 'rootfs.tar')))
  await run('umoci', 'raw', 'add-layer', '--image', image, await packTar(dir, join(dir, 'extra.tar'), './srv'))
  await run(
    'umoci',
    'config',
    '--image',
    image,
    '--config.cmd',
    '/bin/sh',
    '--config.env',
    'WHO=umoci',
    '--architecture',
    'amd64',
  )
  return layout
}

/** What `skopeo inspect` says of an image. */
export async function skopeoInspect(image: string): Promise<{ Digest: string; Layers: string[]; Os: string }> {
  return JSON.parse(await run('skopeo', 'inspect', image)) as { Digest: string; Layers: string[]; Os: string }
}

/** The first element; fails where there is none. */
export function first<T>(list: readonly T[]): T {
  const [item] = list
  assert.ok(item !== undefined, 'the list is empty')
  return item
}
