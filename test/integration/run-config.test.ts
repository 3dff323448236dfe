// SPDX-License-Identifier: MIT
// What runs and as whom: command, entrypoint, environment, working directory, user, groups, host name.
import assert from 'node:assert/strict'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { InvalidOptionError, NotFoundError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { eachSetting, needsContainers, packRootfs, useFixture } from './rootfs.ts'

const fixture = useFixture()

eachSetting(fixture, 'runs a command with its arguments as they are', async ({ run, probe }) => {
  const args = ['', ' two words ', '$HOME', 'quo\'tes"', 'line\nbreak', 'ünïcödé ☃', '-x']
  const { stdout, stderr, exitCode, killSignal } = await run([probe, 'echo', ...args])
  assert.equal(stdout, `${args.join('\n')}\n`)
  assert.equal(stderr, '')
  assert.equal(exitCode, 0)
  assert.equal(killSignal, null)
})

eachSetting(fixture, 'finds a program in the PATH of the container', async ({ run, sh, probe }) => {
  assert.equal((await run(['echo', 'found'])).stdout, 'found\n')
  assert.match(await sh('echo $PATH'), /^\/usr\/local\/sbin:\/usr\/local\/bin:\/usr\/sbin:\/usr\/bin:\/sbin:\/bin$/m)
  const dir = probe.slice(0, probe.lastIndexOf('/')) || '/'
  assert.equal((await run(['probe', 'echo', 'own PATH'], { env: { PATH: dir } })).stdout, 'own PATH\n')
})

test('takes the command of the image where none is given', async (t) => {
  if (!needsContainers(t)) return
  assert.equal((await fixture.run(undefined)).stdout, 'from Cmd\n')
  assert.equal((await fixture.run(undefined, { entrypoint: ['/bin/echo', 'entry'] })).stdout, 'entry\n')
  assert.equal((await fixture.run(['a'], { entrypoint: ['/bin/echo', 'entry'] })).stdout, 'entry a\n')
  assert.equal((await fixture.run(['a'], { entrypoint: '/bin/echo' })).stdout, 'a\n')
})

test('joins the entrypoint of the image and a command as Docker does', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const config = {
    Entrypoint: ['/bin/echo', 'entry'],
    Cmd: ['default'],
    Env: ['FROM=image', 'GONE=image', 'OVER=image'],
    WorkingDir: '/srv/new',
    User: 'alice',
  }
  const tar = packRootfs(join(fixture.dir, 'rootfs'), join(fixture.dir, 'entry.tar'))
  const image = await Image.import(tar, { engine, config })
  assert.equal((await Container.run(image, undefined, { engine })).stdout, 'entry default\n')
  assert.equal((await Container.run(image, ['given'], { engine })).stdout, 'entry given\n')
  assert.equal((await Container.run(image, ['/bin/echo', 'x'], { engine, entrypoint: [] })).stdout, 'x\n')
  await assert.rejects(Container.run(image, undefined, { engine, entrypoint: '' }), InvalidOptionError)
  const env = { GONE: undefined, OVER: 'options' }
  const script = 'pwd; id -un; env | grep -E "^(FROM|GONE|OVER|HOME)=" | sort'
  const { stdout } = await Container.run(image, ['-c', script], { engine, env, entrypoint: '/bin/sh' })
  assert.equal(stdout, '/srv/new\nalice\nFROM=image\nHOME=/home/alice\nOVER=options\n')
})

eachSetting(fixture, 'sets exactly the environment that was asked for', async ({ run, probe, kind }) => {
  process.env.WHERRY_TEST_OUTSIDE = 'must not be seen'
  const env = { A: '1', EMPTY: '', MULTI: 'a\nb', 'odd name': 'x', UNI: '☃' }
  const { stdout } = await run([probe, 'env'], { env, hostname: 'box' })
  delete process.env.WHERRY_TEST_OUTSIDE
  const home = kind === 'host' ? '/root' : '/root'
  const expected = ['PATH=', 'HOSTNAME=box', 'A=1', 'EMPTY=', 'MULTI=a', 'b', 'odd name=x', 'UNI=☃', `HOME=${home}`]
  const lines = stdout.trimEnd().split('\n')
  assert.deepEqual(lines.slice(1), expected.slice(1))
  assert.ok(lines[0]?.startsWith('PATH=/'))
})

eachSetting(fixture, 'starts in the working directory, and creates it', async ({ run, probe, sh }) => {
  assert.equal((await run([probe, 'cwd'])).stdout, '/\n')
  assert.equal((await run([probe, 'cwd'], { cwd: '/usr/sbin' })).stdout, '/usr/sbin\n')
  assert.equal((await run([probe, 'cwd'], { cwd: '/brand/new/./place/' })).stdout, '/brand/new/place\n')
  assert.equal(await sh('stat -c "%u:%g %a" . ..', { cwd: '/brand/new' }), '0:0 755\n0:0 755\n')
  await assert.rejects(run([probe, 'cwd'], { cwd: '/etc/passwd' }), { code: 'ERR_CONTAINER_START', exitCode: 125 })
  await assert.rejects(run([probe, 'cwd'], { cwd: 'relative' }), { code: 'ERR_INVALID_OPTION', option: 'cwd' })
})

eachSetting(
  fixture,
  'a working directory behind links stays in the image',
  async ({ sh, run }) => {
    for (const cwd of ['/absolute-link/sub', '/climbing-link/sub'])
      assert.equal(await sh('pwd -P; ls', { cwd }), '/srv/sub\ndeep\n')
    assert.equal(await sh('pwd -P', { cwd: '/absolute-link/made' }), '/srv/made\n')
    for (const cwd of ['/dangling-link', '/proc/self/root/srv', '/proc/1/cwd']) {
      await assert.rejects(run(['/probe', 'cwd'], { cwd }), {
        code: 'ERR_CONTAINER_START',
        exitCode: 125,
        message: /working directory/,
      })
    }
  },
  ['imported'],
)

eachSetting(
  fixture,
  'runs as the user and groups of the image’s own files',
  async ({ run, probe }) => {
    const ids = async (user?: string | number, groups?: (string | number)[]): Promise<string> =>
      (await run([probe, 'ids'], { user, groups })).stdout.trim()
    const line = (uid: number, gid: number, groups: string): string =>
      `uid=${uid},${uid},${uid} gid=${gid},${gid},${gid} groups=${groups}`
    assert.equal(await ids(), line(0, 0, '0'))
    assert.equal(await ids('alice'), line(1000, 1000, '1000,29,50'.split(',').sort(byNumber).join(',')))
    assert.equal(await ids('1000'), line(1000, 1000, '29,50,1000'))
    assert.equal(await ids(1001), line(1001, 1001, '50,1001'))
    assert.equal(await ids('alice:audio'), line(1000, 29, '29'))
    assert.equal(await ids('alice:7'), line(1000, 7, '7'))
    assert.equal(await ids('12:34'), line(12, 34, '34'))
    assert.equal(await ids(4242), line(4242, 0, '0'))
    assert.equal(await ids('bob', ['audio', 77]), line(1001, 1001, '29,50,77,1001'))
    assert.equal(await ids('daemon'), line(1, 1, '1'))
  },
  ['imported'],
)

function byNumber(a: string, b: string): number {
  return Number(a) - Number(b)
}

eachSetting(
  fixture,
  'another user than root has no capabilities and its own home',
  async ({ run, probe, kind, sh }) => {
    const user = kind === 'host' ? 'nobody' : 'alice'
    const { stdout } = await run([probe, 'caps'], { user })
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      assert.match(stdout, new RegExp(`^${set}:\t0{16}$`, 'm'))
    assert.match(stdout, /^CapBnd:\t00000000a[0-9a-f]*$/m)
    assert.equal(
      await sh('id -un; echo $HOME', { user }),
      kind === 'host' ? 'nobody\n/nonexistent\n' : 'alice\n/home/alice\n',
    )
  },
)

eachSetting(fixture, 'users who are not there are refused', async ({ run, probe }) => {
  await assert.rejects(run([probe, 'ids'], { user: 'nobody-at-all' }), (error) => {
    assert.ok(error instanceof NotFoundError)
    assert.match(error.message, /"nobody-at-all" was not found: \/etc\/passwd of the image/)
    return true
  })
  await assert.rejects(run([probe, 'ids'], { user: '0:no-such-group' }), { code: 'ERR_NOT_FOUND' })
  await assert.rejects(run([probe, 'ids'], { groups: ['no-such-group'] }), { code: 'ERR_NOT_FOUND' })
})

eachSetting(fixture, 'has a host name of its own', async ({ run, sh }) => {
  const named = await sh('hostname; cat /etc/hostname; echo $HOSTNAME; grep named /etc/hosts', { hostname: 'named' })
  assert.equal(named, 'named\nnamed\nnamed\n127.0.0.1\tnamed\n')
  const { stdout, id } = await run(['hostname'])
  assert.equal(stdout, `${id.slice(0, 12)}\n`)
  assert.match(id, /^[0-9a-f]{64}$/)
  assert.notEqual(hostname(), 'named')
})

eachSetting(fixture, 'generates hosts and resolv.conf', async ({ sh }) => {
  const extraHosts = { db: '10.1.2.3', six: 'fd00::1' }
  const out = await sh('cat /etc/hosts; echo ---; cat /etc/resolv.conf', {
    dns: ['10.9.8.7'],
    extraHosts,
    hostname: 'h',
  })
  const [hosts = '', resolv = ''] = out.split('---\n')
  for (const line of ['127.0.0.1\tlocalhost', '127.0.0.1\th', '10.1.2.3\tdb', 'fd00::1\tsix']) {
    assert.ok(hosts.split('\n').includes(line), `${line} in ${hosts}`)
  }
  assert.match(resolv, /^nameserver 10\.9\.8\.7$/m)
  assert.equal(resolv.match(/nameserver/g)?.length, 1)
  // They can be written: some programs do. What is written goes with the container.
  assert.match(await sh('echo 1.2.3.4 me >> /etc/hosts; cat /etc/hosts'), /1\.2\.3\.4 me/)
  assert.doesNotMatch(await sh('cat /etc/hosts'), /1\.2\.3\.4 me/)
})

test('runs scripts by their first line', async (t) => {
  if (!needsContainers(t)) return
  assert.equal((await fixture.run(['/bin/script', 'a', 'b'])).stdout, 'script /bin/script a b\n')
  assert.equal((await fixture.run(['script', 'c'])).stdout, 'script /bin/script c\n')
})

test('finds an image by its reference and by its id', async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  for (const name of ['test', 'docker.io/library/test:latest', image.id ?? '']) {
    assert.equal((await Container.run(name, ['/bin/echo', 'by name'], { engine })).stdout, 'by name\n')
  }
})

eachSetting(fixture, 'takes a large environment and a megabyte of arguments', async ({ run, probe }) => {
  const env = Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`VARIABLE_${i}`, `${i}-${'v'.repeat(60)}`]))
  const { stdout } = await run([probe, 'env'], { env })
  assert.equal(stdout.split('\n').filter((line) => line.startsWith('VARIABLE_')).length, 2_000)
  assert.ok(stdout.includes(`VARIABLE_1999=1999-${'v'.repeat(60)}\n`))
  const args = Array.from({ length: 16 }, (_, i) => String.fromCharCode(97 + i).repeat(64 * 1024 - 1))
  assert.equal((await run([probe, 'echo', ...args])).stdout, `${args.join('\n')}\n`)
  const small = Array.from({ length: 10_000 }, (_, i) => `argument-${i}`)
  assert.equal((await run([probe, 'echo', ...small])).stdout, `${small.join('\n')}\n`)
})

eachSetting(fixture, 'says so when the arguments are too long for the kernel', async ({ run, probe }) => {
  await assert.rejects(run([probe, 'echo', 'x'.repeat(200 * 1024)]), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'ERR_CONTAINER_START')
    assert.match(error.message, /E2BIG|too long/i)
    return true
  })
  const { stdout } = await run([probe, 'echo', 'after'])
  assert.equal(stdout, 'after\n')
})
