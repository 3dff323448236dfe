// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { chmod, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { Container, type RunOptions, type StartOptions } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import type { RunResult } from '../../lib/run-result.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { missing, needs } from '../helpers/needs.ts'
import { fixturePath, probePath } from '../helpers/package-root.ts'

type TextOptions = RunOptions & { encoding?: BufferEncoding | undefined }

const kPasswd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
alice:x:1000:1000:Alice:/home/alice:/bin/sh
bob:x:1001:1001:Bob:/home/bob:/bin/sh
`
const kGroup = `root:x:0:
tty:x:5:
audio:x:29:alice
staff:x:50:alice,bob
alice:x:1000:
bob:x:1001:
`

/** Programs that test images have besides the shell's own. */
const kApplets = [
  ...['ash', 'cat', 'chmod', 'chown', 'cp', 'cut', 'date', 'dd', 'df', 'echo', 'env', 'false', 'find', 'grep', 'head'],
  ...['hostname', 'id', 'ip', 'kill', 'ln', 'ls', 'mkdir', 'mknod', 'mount', 'mv', 'nproc', 'ping', 'ps', 'pwd'],
  ...['readlink', 'rm', 'sed', 'seq', 'setsid', 'sh', 'sleep', 'sort', 'stat', 'stty', 'su', 'sync', 'tail', 'test'],
  ...['touch', 'tr', 'true', 'tty', 'umount', 'uname', 'unshare', 'wc', 'xargs'],
]

/** Builds the probe where `scripts/test.mjs` has not. */
export function ensureProbe(): string {
  const source = fixturePath('probe.c')
  const target = probePath()
  if (existsSync(target) && statSync(target).mtimeMs >= statSync(source).mtimeMs) return target
  execFileSync('mkdir', ['-p', dirname(target)])
  execFileSync(process.env.CC ?? 'gcc', ['-O1', '-static', '-o', target, source])
  return target
}

/** Makes a root file system: busybox with its applets, `/probe`, users and groups, and programs that do not start. */
export async function makeRootfsDir(rootfs: string): Promise<string> {
  const dirs = ['bin', 'etc', 'root', 'home/alice', 'tmp', 'usr/sbin', 'srv/sub', 'sealed']
  for (const name of dirs) await mkdir(join(rootfs, name), { recursive: true })
  await copyFile('/bin/busybox', join(rootfs, 'bin/busybox'))
  for (const name of kApplets) await symlink('busybox', join(rootfs, 'bin', name))
  await symlink('/srv', join(rootfs, 'absolute-link'))
  await symlink('../../../../srv', join(rootfs, 'climbing-link'))
  await symlink('/nowhere', join(rootfs, 'dangling-link'))
  await copyFile(ensureProbe(), join(rootfs, 'probe'))
  await copyFile(ensureProbe(), join(rootfs, 'probe-setuid'))
  const files: [path: string, content: string, mode: number][] = [
    ['etc/passwd', kPasswd, 0o644],
    ['etc/group', kGroup, 0o644],
    ['srv/hello', 'hello from the image\n', 0o644],
    ['srv/sub/deep', 'deep\n', 0o644],
    ['bin/not-executable', '#!/bin/sh\n', 0o644],
    ['bin/no-interpreter', '#!/nowhere/interpreter\n', 0o755],
    ['bin/no-format', '\x01\x02 neither a program nor a script\n', 0o755],
    ['bin/script', '#!/bin/sh\necho "script $0 $*"\n', 0o755],
    ['etc/hostname', 'of-the-image\n', 0o644],
  ]
  for (const [path, content, mode] of files) await writeFile(join(rootfs, path), content, { mode })
  await chmod(join(rootfs, 'probe'), 0o755)
  await chmod(join(rootfs, 'probe-setuid'), 0o4755)
  await chmod(join(rootfs, 'tmp'), 0o1777)
  await chmod(join(rootfs, 'sealed'), 0o700)
  return rootfs
}

/** Packs a directory: everything belongs to root, but the home directory to alice. @returns the tar's path */
export function packRootfs(rootfs: string, tar: string): string {
  const own = ['--numeric-owner', '--owner=0', '--group=0', '-C', rootfs]
  execFileSync('tar', [...own, '--exclude=./home/alice', '-cf', tar, '.'])
  execFileSync('tar', ['--numeric-owner', '--owner=1000', '--group=1000', '-C', rootfs, '-rf', tar, './home/alice'])
  return tar
}

/** The engine and image of one test file. */
export class Fixture {
  #parts: { dir: string; engine: Engine; image: Image } | undefined

  async open(): Promise<void> {
    const dir = await mkdtemp(join(tmpdir(), 'wherry-run-'))
    const engine = await Engine.open({ root: join(dir, 'root') })
    const tar = packRootfs(await makeRootfsDir(join(dir, 'rootfs')), join(dir, 'rootfs.tar'))
    const image = await Image.import(tar, {
      engine,
      reference: 'test',
      config: { Cmd: ['/probe', 'echo', 'from Cmd'] },
    })
    await chmod(dir, 0o755)
    this.#parts = { dir, engine, image }
  }

  async close(): Promise<void> {
    if (this.#parts === undefined) return
    await this.#parts.engine.close()
    await rm(this.#parts.dir, { recursive: true, force: true })
    this.#parts = undefined
  }

  get dir(): string {
    return this.#open.dir
  }

  get engine(): Engine {
    return this.#open.engine
  }

  /** The imported one. */
  get image(): Image {
    return this.#open.image
  }

  get #open(): { dir: string; engine: Engine; image: Image } {
    assert.ok(this.#parts !== undefined, 'the fixture is not open')
    return this.#parts
  }

  /** Runs a command in the imported image. */
  run(command: readonly string[] | undefined, options: TextOptions = {}): Promise<RunResult> {
    return Container.run(this.image, command, { engine: this.engine, ...options })
  }

  /** Starts a container of the imported image that stays, and is killed at once where it is to stop. */
  start(command: readonly string[], options: StartOptions = {}): Promise<Container> {
    return Container.start(this.image, { engine: this.engine, command, stopTimeoutMs: 0, ...options })
  }

  /** Runs a shell script in the imported image. @returns its standard output */
  async sh(script: string, options: TextOptions = {}): Promise<string> {
    return (await this.run(['/bin/sh', '-ec', script], options)).stdout
  }

  /** Makes a directory that is gone with the file. */
  tempDir(): Promise<string> {
    return mkdtemp(join(this.dir, 'temp-'))
  }
}

/** An image under a kind of user namespace: each behaviour is tested in all of them. */
export interface Setting {
  kind: 'imported' | 'host'
  userns: 'auto' | 'host'
  image: Image
  /** Path of the probe inside. */
  probe: string
  fixture: Fixture
  run: (command: readonly string[] | undefined, options?: TextOptions) => Promise<RunResult>
  sh: (script: string, options?: TextOptions) => Promise<string>
}

/** Opens the file's fixture around its tests, and checks that the file leaves nothing behind. */
export function useFixture(): Fixture {
  checkLeftovers()
  const fixture = new Fixture()
  before(async () => {
    if (missing('root') === undefined && missing('overlay') === undefined) await fixture.open()
  })
  after(() => fixture.close())
  return fixture
}

type Kinds = readonly Setting['kind'][]

/** Defines a test for each of the images and each kind of user namespace. */
export function eachSetting(
  fixture: Fixture,
  name: string,
  body: (setting: Setting, t: TestContext) => Promise<void>,
  kinds: Kinds = ['imported', 'host'],
): void {
  for (const kind of kinds) {
    for (const userns of ['auto', 'host'] as const) {
      test(`${name} (${kind} image, userns ${userns})`, async (t) => {
        if (needsContainers(t)) await body(makeSetting(fixture, kind, userns), t)
      })
    }
  }
}

/** What all tests of containers need. */
export function needsContainers(t: TestContext): boolean {
  return needs(t, 'root', 'userns', 'overlay', 'command:busybox')
}

function makeSetting(fixture: Fixture, kind: Setting['kind'], userns: Setting['userns']): Setting {
  const image = kind === 'host' ? Image.host() : fixture.image
  const run: Setting['run'] = (command, options = {}) =>
    Container.run(image, command, { engine: fixture.engine, userns, ...options })
  return {
    kind,
    userns,
    image,
    probe: kind === 'host' ? ensureProbe() : '/probe',
    fixture,
    run,
    sh: async (script, options) => (await run(['/bin/sh', '-ec', script], options)).stdout,
  }
}

/** Process ids of the host whose command line holds `text`; this process is left out. */
export function processesWith(text: string): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name) || name === String(process.pid)) return false
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text)
    } catch {
      return false
    }
  })
}
