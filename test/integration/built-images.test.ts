// SPDX-License-Identifier: MIT
// Images that others made, by umoci and buildah, in every form that can be loaded; and this project run in the host's image.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { Image } from '../../lib/image.ts'
import { type Digest, digestHex, digestOf } from '../../lib/oci/digest.ts'
import { kMediaType } from '../../lib/oci/image-config.ts'
import type { RunResult } from '../../lib/run-result.ts'
import { makeTar } from '../helpers/make-tar.ts'
import { needs, skipOrFail } from '../helpers/needs.ts'
import { packageRoot } from '../helpers/package-root.ts'
import { podmanStorage } from '../helpers/podman.ts'
import { runChild, runOk } from '../helpers/run-child.ts'
import { first } from './image-fixtures.ts'
import { makeRootfsDir, needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

/** Makes an image with two layers by umoci: the second one changes, removes and adds. @returns the layout folder */
async function makeByUmoci(dir: string): Promise<string> {
  const layout = join(dir, 'layout')
  const image = `${layout}:made`
  const umoci = (...args: string[]): Promise<string> => runOk('umoci', args)
  await umoci('init', '--layout', layout)
  await umoci('new', '--image', image)
  await umoci('unpack', '--image', image, join(dir, 'bundle'))
  await makeRootfsDir(join(dir, 'bundle/rootfs'))
  execFileSync('chown', ['-R', '1000:1000', join(dir, 'bundle/rootfs/home/alice')])
  await umoci('repack', '--image', image, join(dir, 'bundle'))
  await umoci('unpack', '--image', image, join(dir, 'second'))
  const rootfs = join(dir, 'second/rootfs')
  await rm(join(rootfs, 'srv/hello'))
  await rm(join(rootfs, 'srv/sub'), { recursive: true })
  await mkdir(join(rootfs, 'srv/sub'))
  await writeFile(join(rootfs, 'srv/sub/second'), 'second layer\n')
  await writeFile(join(rootfs, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\ndora:x:2000:2000::/srv:/bin/sh\n')
  await umoci('repack', '--image', image, join(dir, 'second'))
  const config = ['--config.entrypoint', '/bin/sh', '--config.entrypoint', '-c', '--config.user', 'dora']
  await umoci('config', '--image', image, ...config, '--config.env', 'WHO=umoci', '--config.workingdir', '/srv/work')
  await umoci('config', '--image', image, '--config.cmd', 'id -un; pwd; echo $WHO')
  return layout
}

async function checkUmociImage(image: Image): Promise<void> {
  const { engine } = fixture
  for (const userns of ['auto', 'host'] as const) {
    const run = async (command?: string[], user?: string): Promise<string> =>
      (await Container.run(image, command, { engine, userns, user })).stdout
    assert.equal(await run(), 'dora\n/srv/work\numoci\n')
    assert.equal(
      await run(['ls -A /srv /srv/sub; cat /srv/sub/second'], 'root'),
      '/srv:\nsub\nwork\n\n/srv/sub:\nsecond\nsecond layer\n',
    )
    assert.equal(
      await run(['stat -c "%u:%g %a" /home/alice /probe-setuid /tmp'], 'root'),
      '1000:1000 755\n0:0 4755\n0:0 1777\n',
    )
  }
}

/** Writes a layout folder with one image of plain layers. */
async function makeLayout(dir: string, layers: readonly Buffer[]): Promise<string> {
  const blobs = join(dir, 'plain/blobs/sha256')
  await mkdir(blobs, { recursive: true })
  const put = async (content: Buffer | object): Promise<{ digest: Digest; size: number }> => {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content))
    const digest = digestOf(bytes)
    await writeFile(join(blobs, digestHex(digest)), bytes)
    return { digest, size: bytes.length }
  }
  const placed: object[] = []
  for (const layer of layers) placed.push({ mediaType: kMediaType.layerTar, ...(await put(layer)) })
  const rootfs = { type: 'layers', diff_ids: layers.map((layer) => digestOf(layer)) }
  const config = { mediaType: kMediaType.config, ...(await put({ os: 'linux', architecture: 'amd64', rootfs })) }
  const mediaType = kMediaType.manifest
  const manifest = { mediaType, ...(await put({ schemaVersion: 2, mediaType, config, layers: placed })) }
  await writeFile(join(dir, 'plain/index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }))
  await writeFile(join(dir, 'plain/oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  return join(dir, 'plain')
}

async function temporary(): Promise<string> {
  const dir = await mkdtemp(join(fixture.dir, 'built-'))
  await chmod(dir, 0o755)
  return dir
}

test('an image made by umoci runs from a folder, from an OCI archive and from a docker archive', async (t) => {
  if (!needsContainers(t) || !needs(t, 'command:umoci')) return
  const { engine } = fixture
  const dir = await temporary()
  const layout = await makeByUmoci(dir)
  const [fromFolder] = await Image.load(layout, { engine })
  assert.ok(fromFolder !== undefined)
  await checkUmociImage(fromFolder)
  await runOk('tar', ['-C', layout, '-cf', join(dir, 'oci.tar'), '.'])
  const [fromArchive] = await Image.load(join(dir, 'oci.tar'), { engine })
  assert.ok(fromArchive !== undefined)
  assert.equal(fromArchive.id, fromFolder.id)
  await t.test('as a docker archive', async (t) => {
    if (!needs(t, 'command:skopeo')) return
    const copy = [
      '--insecure-policy',
      'copy',
      '-q',
      `oci:${layout}:made`,
      `docker-archive:${join(dir, 'docker.tar')}:copied:1`,
    ]
    await runOk('skopeo', copy)
    const [fromDocker] = await Image.load(join(dir, 'docker.tar'), { engine })
    assert.ok(fromDocker !== undefined)
    await checkUmociImage(fromDocker)
  })
})

test('an image made by buildah from nothing runs', async (t) => {
  if (!needsContainers(t) || !needs(t, 'command:buildah')) return
  const { engine } = fixture
  const dir = await temporary()
  const buildah = async (command: string, ...args: string[]): Promise<string> =>
    (
      await runOk('buildah', [...podmanStorage(dir), command, ...args], {
        env: { ...process.env, BUILDAH_ISOLATION: 'chroot' },
      })
    ).trim()
  const id = await buildah('from', 'scratch')
  await buildah('copy', id, join(fixture.dir, 'rootfs'), '/')
  const config = [
    '--entrypoint',
    '["/bin/sh","-c"]',
    '--cmd',
    '"echo $MADE; cat /srv/hello"',
    '--env',
    'MADE=by buildah',
  ]
  await buildah('config', ...config, '--stop-signal', 'SIGUSR1', id)
  const archive = join(dir, 'buildah.tar')
  await buildah('commit', '--quiet', '--rm', id, `oci-archive:${archive}:built`)
  const [image] = await Image.load(archive, { engine })
  assert.ok(image !== undefined)
  for (const userns of ['auto', 'host'] as const) {
    const { stdout }: RunResult = await Container.run(image, undefined, { engine, userns })
    assert.equal(stdout, 'by buildah\nhello from the image\n')
  }
})

test('an image that has one layer at several places runs, with what the uppermost shows', async (t) => {
  if (!needsContainers(t)) return
  const dir = await temporary()
  const busybox = await readFile('/bin/busybox')
  const again = makeTar([
    { name: 'srv/a', body: 'again\n' },
    { name: 'srv/.wh.lowest', body: '' },
  ])
  const layers = [
    makeTar([
      { name: 'bin/sh', mode: 0o755, body: busybox },
      { name: 'srv/lowest', body: 'lowest\n' },
    ]),
    again,
    makeTar([
      { name: 'srv/.wh.a', body: '' },
      { name: 'srv/lowest', body: 'back\n' },
      { name: 'srv/b', body: 'between\n' },
    ]),
    again,
    again,
  ]
  const layout = await makeLayout(dir, layers)
  const { engine } = fixture
  const image = first(await Image.load(layout, { engine }))
  assert.equal(image.layers.length, 5)
  const { stdout } = await Container.run(image, ['/bin/sh', '-c', 'cd /srv; for f in *; do echo $f; done; cat a b'], {
    engine,
  })
  assert.equal(stdout, 'a\nb\nagain\nbetween\n')
})

test('the project checks itself in the host’s image, and not a byte of it changes', async (t) => {
  const root = packageRoot()
  if (!needsContainers(t) || !needs(t, 'command:npm', 'command:clang-format')) return
  if (!existsSync(join(root, 'node_modules/@biomejs'))) {
    return skipOrFail(t, 'the development dependencies are not installed')
  }
  const skipped = ['.git', 'build', 'build-*', 'fuzz-*'].flatMap((name) => ['-name', name, '-prune', '-o'])
  const listing = (): Promise<string> =>
    runOk('find', [root, ...skipped, '-printf', '%P %y %s %m %U:%G %T@ %C@\n'], { timeoutMs: 120_000 })
  const outside = await runChild('npm', ['run', 'lint'], {
    cwd: root,
    timeoutMs: 240_000,
    env: { ...process.env, NO_COLOR: '1' },
  })
  const before = await listing()
  const script = 'npm run lint; code=$?; echo done > lint-result.txt; cat lint-result.txt; exit $code'
  const inside = await Container.run(Image.host(), ['sh', '-c', script], {
    engine: fixture.engine,
    cwd: root,
    // Where node and npm are, wherever that is.
    env: { PATH: process.env.PATH, HOME: '/tmp/home', NO_COLOR: '1' },
    timeoutMs: 240_000,
    reject: false,
  })
  assert.ok(!existsSync(join(root, 'lint-result.txt')))
  assert.equal(await listing(), before)
  assert.equal(inside.timedOut, false)
  assert.match(inside.stdout, /> biome ci[\s\S]*done\n$/)
  assert.match(checked(inside), /Checked \d+ files/)
  assert.equal(checked(inside), checked(outside))
  assert.equal(inside.exitCode, outside.exitCode, `${inside.stdout}${inside.stderr}`)
})

/** How many files biome looked at. */
function checked({ stdout, stderr }: { stdout: string; stderr: string }): string {
  return /Checked \d+ files/.exec(`${stdout}${stderr}`)?.[0] ?? `${stdout}${stderr}`
}
