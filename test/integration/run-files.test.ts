// SPDX-License-Identifier: MIT
// What a container sees and changes of file systems: mounts, read-only roots, owners, and the host under Image.host().
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, chown, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { Image } from '../../lib/image.ts'
import { packageRoot } from '../helpers/package-root.ts'
import { eachSetting, needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

eachSetting(fixture, 'writes go into a layer of their own, and go with the container', async ({ sh, run, probe }) => {
  const script = `echo new > /srv/new; echo changed >> /etc/passwd; rm -r /etc/group; mkdir -p /a/b; chown 12:34 /a
    chmod 700 /a; ln -s x /a/link; mkfifo /a/fifo 2>/dev/null || true; cat /srv/new; tail -n 1 /etc/passwd; stat -c %u:%g /a`
  assert.equal(await sh(script), 'new\nchanged\n12:34\n')
  const after = await sh(
    'ls -d /srv/new /a 2>/dev/null | wc -l; grep -c changed /etc/passwd || true; test -e /etc/group',
  )
  assert.equal(after.replaceAll(' ', ''), '0\n0\n')
  await assert.rejects(run([probe, 'cat', '/srv/new']), { code: 'ERR_EXIT' })
})

eachSetting(fixture, 'a read-only root refuses writes; what is mounted on it does not', async ({ run, sh }) => {
  for (const path of ['/x', '/etc/x', '/srv/x', '/etc/passwd']) {
    const { stderr } = await run(['/bin/sh', '-c', `: >> ${path}`], { readOnly: true, reject: false })
    assert.match(stderr, /Read-only file system/)
  }
  const mounts = [{ type: 'tmpfs', target: '/tmp' }] as const
  assert.equal(
    await sh('echo a > /tmp/a; echo b > /dev/shm/b; cat /tmp/a /dev/shm/b', { readOnly: true, mounts }),
    'a\nb\n',
  )
  assert.match(await sh('cat /proc/self/mountinfo', { readOnly: true }), / \/ \/ ro[ ,]/)
  // Targets and working directories are made all the same, before the root becomes read-only.
  const made = [{ type: 'tmpfs', target: '/brand/new' }] as const
  assert.equal(await sh('pwd; touch /brand/new/x', { readOnly: true, mounts: made, cwd: '/work' }), '/work\n')
})

eachSetting(fixture, 'binds directories and files of the host', async ({ sh, run, fixture: { dir }, userns, kind }) => {
  const source = join(dir, `bind-${kind}-${userns}`)
  await mkdir(join(source, 'sub'), { recursive: true })
  await chmod(source, 0o777)
  await writeFile(join(source, 'file'), 'from the host\n')
  await chmod(join(source, 'file'), 0o666)
  const bind = (target: string, more: object = {}) => ({ type: 'bind', source, target, ...more }) as const
  const written = await sh('cat /mnt/in/file; echo written > /mnt/in/new; cat /mnt/in/new', {
    mounts: [bind('/mnt/in')],
  })
  assert.equal(written, 'from the host\nwritten\n')
  assert.equal(await readFile(join(source, 'new'), 'utf8'), 'written\n')
  const readOnly = await run(['/bin/sh', '-c', 'cat /ro/file; echo x > /ro/other; rm /ro/file'], {
    mounts: [bind('/ro', { readOnly: true })],
    reject: false,
  })
  assert.match(readOnly.stdout, /from the host/)
  assert.match(readOnly.stderr, /Read-only file system/)
  assert.deepEqual((await readdir(source)).sort(), ['file', 'new', 'sub'])
  const file = { type: 'bind', source: join(source, 'file'), target: '/etc/single' } as const
  assert.equal(await sh('cat /etc/single; echo more >> /etc/single', { mounts: [file] }), 'from the host\n')
  assert.equal(await readFile(join(source, 'file'), 'utf8'), 'from the host\nmore\n')
  const over = { ...file, target: '/etc/passwd', readOnly: true }
  assert.match(await sh('cat /etc/passwd', { mounts: [over] }), /^from the host/)
  await writeFile(join(source, 'program'), '#!/bin/sh\necho ran\n', { mode: 0o755 })
  await chmod(join(source, 'program'), 0o755)
  assert.equal((await run(['/p/program'], { mounts: [bind('/p')] })).stdout, 'ran\n')
  const noExec = run(['/p/program'], { mounts: [bind('/p', { noExec: true })] })
  await assert.rejects(noExec, { code: 'ERR_CONTAINER_START', exitCode: 126 })
})

eachSetting(fixture, 'binds with and without the mounts below', async ({ sh, run, fixture: { dir }, userns, kind }) => {
  const source = join(dir, `tree-${kind}-${userns}`)
  await mkdir(join(source, 'below'), { recursive: true })
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=777', 'tmpfs', join(source, 'below')])
  try {
    await writeFile(join(source, 'below/inner'), 'inner\n')
    const bind = { type: 'bind', source, target: '/tree' } as const
    assert.equal(await sh('ls /tree/below', { mounts: [bind] }), 'inner\n')
    assert.equal(await sh('touch /tree/below/new; ls /tree/below', { mounts: [bind] }), 'inner\nnew\n')
    const { stderr } = await run(['/bin/sh', '-c', 'ls /tree/below; echo x > /tree/below/y'], {
      mounts: [{ ...bind, readOnly: true }],
      reject: false,
    })
    assert.match(stderr, /Read-only file system/)
    // A user namespace must not see what a mount hides (mounts from outside are locked together).
    const flat = await run(['ls', '/tree/below'], { mounts: [{ ...bind, recursive: false }], reject: false })
    assert.doesNotMatch(flat.stdout, /inner/)
  } finally {
    execFileSync('umount', [join(source, 'below')])
  }
})

test('mount targets behind links of the image stay in the image', async (t) => {
  if (!needsContainers(t)) return
  const source = await fixture.tempDir()
  await writeFile(join(source, 'hello'), 'bound\n')
  await chmod(source, 0o755)
  const outside = await fixture.tempDir()
  for (const target of ['/absolute-link/sub', '/climbing-link/sub']) {
    const mounts = [{ type: 'bind', source, target }] as const
    assert.equal(await fixture.sh('cat /srv/sub/hello', { mounts }), 'bound\n')
  }
  await symlink(outside, join(source, 'trap'))
  const mounts = [
    { type: 'bind', source, target: '/data' },
    { type: 'tmpfs', target: '/data/trap/inside' },
  ] as const
  await fixture.run(['/probe', 'pid'], { mounts, reject: false }).catch(() => undefined)
  assert.deepEqual(await readdir(outside), [], 'nothing is made on the host behind a link')
})

eachSetting(fixture, 'mounts file systems in memory', async ({ sh, run }) => {
  const tmpfs = (more: object = {}) => [{ type: 'tmpfs', target: '/mem', ...more }] as const
  assert.equal(await sh('stat -c "%a %u:%g" /mem; echo x > /mem/x; cat /mem/x', { mounts: tmpfs() }), '1777 0:0\nx\n')
  assert.equal(await sh('stat -c %a /mem', { mounts: tmpfs({ mode: 0o750 }) }), '750\n')
  const full = await run(['/bin/sh', '-c', 'dd if=/dev/zero of=/mem/x bs=64k count=64'], {
    mounts: tmpfs({ size: '1m' }),
    reject: false,
  })
  assert.match(full.stderr, /No space left/)
  const readOnly = await run(['/bin/sh', '-c', ': > /mem/x'], { mounts: tmpfs({ readOnly: true }), reject: false })
  assert.match(readOnly.stderr, /Read-only file system/)
  const noExec = 'cp /bin/true /mem/true; /mem/true'
  const refused = await run(['/bin/sh', '-c', noExec], { mounts: tmpfs(), reject: false })
  assert.equal(refused.exitCode, 126)
  assert.equal(await sh(`${noExec}; echo ran`, { mounts: tmpfs({ noExec: false }) }), 'ran\n')
  assert.match(await sh('df -k /dev/shm | tail -n 1', { shmSize: '3m' }), /^\S+\s+3072\s/)
  assert.match(await sh('df -k /dev/shm | tail -n 1'), /^\S+\s+65536\s/)
})

test('nested mounts are made with the shorter paths first', async (t) => {
  if (!needsContainers(t)) return
  const mounts = [
    { type: 'tmpfs', target: '/outer/inner/most' },
    { type: 'tmpfs', target: '/outer', mode: 0o755 },
    { type: 'tmpfs', target: '/outer/inner', mode: 0o711 },
  ] as const
  assert.equal(await fixture.sh('stat -c %a /outer /outer/inner /outer/inner/most', { mounts }), '755\n711\n1777\n')
})

eachSetting(fixture, 'owners look right', async ({ sh, kind, run, probe }) => {
  if (kind === 'imported') {
    assert.equal(
      await sh('stat -c "%u:%g %n" /home/alice /bin/busybox / /sealed'),
      owners('1000:1000', '0:0', '0:0', '0:0'),
    )
    assert.equal(await sh('echo x > ~/file; stat -c %u:%g ~/file', { user: 'alice' }), '1000:1000\n')
    const { exitCode } = await run([probe, 'ls', '/sealed'], { user: 'alice', reject: false })
    assert.equal(exitCode, 1)
  }
  assert.equal(await sh('stat -c %u:%g / /etc /etc/passwd /etc/hosts /dev /dev/shm /dev/pts'), '0:0\n'.repeat(7))
  const strange = `find / -xdev ! -path /proc ! -path /sys \\( -user 65534 -o -group 65534 \\) 2>/dev/null | head`
  if (kind === 'imported') assert.equal(await sh(strange), '')
})

function owners(...ids: string[]): string {
  return ['/home/alice', '/bin/busybox', '/', '/sealed'].map((path, i) => `${ids[i]} ${path}\n`).join('')
}

test('files of the host have their own owners inside a user namespace', async (t) => {
  if (!needsContainers(t)) return
  const paths = ['/', '/etc', '/etc/shadow', '/usr/bin', '/var/lib', packageRoot()]
  const wanted = await Promise.all(paths.map(async (path) => stat(path)))
  const script = `stat -c %u:%g:%a ${paths.join(' ')}`
  for (const userns of ['auto', 'host'] as const) {
    const { stdout } = await Container.run(Image.host(), ['sh', '-c', script], { engine: fixture.engine, userns })
    const expected = wanted.map(({ uid, gid, mode }) => `${uid}:${gid}:${(mode & 0o7777).toString(8)}\n`)
    assert.equal(stdout, expected.join(''))
  }
})

eachSetting(
  fixture,
  'nothing that a container does with the host’s image reaches the host',
  async ({ sh, fixture: { dir }, userns }) => {
    const victim = join(dir, `victim-${userns}`)
    await mkdir(join(victim, 'sub'), { recursive: true })
    await writeFile(join(victim, 'file'), 'untouched')
    const dirs = ['/', '/etc', '/usr', '/usr/bin', '/var', '/var/lib', '/root', '/home', '/opt', '/tmp', '/srv', '/mnt']
    const shown = `stat -c '%n %a %u:%g %s %Y %i' /etc/* /usr/* ${victim} ${victim}/* /dev/full
      ls -A / /etc /usr /usr/bin /var/lib /root /opt /srv /mnt /home`
    const listing = (): string[] => execFileSync('sh', ['-c', shown], { encoding: 'utf8' }).split('\n')
    const before = listing()
    const script = `set +e
      for d in ${dirs.join(' ')} ${victim}; do echo x > $d/wherry-was-here; mkdir $d/wherry-dir-was-here; done
      echo x >> /etc/passwd; rm -f /etc/hostname.bak /etc/fstab; rm -rf /usr/share/doc ${victim}/sub; mv ${victim}/file ${victim}/moved
      chmod 0 /etc/shadow; chown 7:7 /etc/group; touch -d 2001-01-01 /etc/services; : > ${victim}/moved
      ln /etc/passwd /etc/passwd-link; chmod 1777 /usr; chmod 000 /dev/full; chown 1:1 /dev/full; sync
      ls ${victim}`
    try {
      assert.match(await sh(script), /^moved$/m)
      assert.deepEqual(listing(), before)
    } finally {
      // Devices are no files of the image: a wrong one must not outlast this test.
      await chown('/dev/full', 0, 0)
      await chmod('/dev/full', 0o666)
    }
    assert.equal(await readFile(join(victim, 'file'), 'utf8'), 'untouched')
  },
  ['host'],
)

eachSetting(
  fixture,
  'the state directory is hidden, and what the caller hides',
  async ({ fixture: { dir, engine }, userns, sh, kind }) => {
    const seen = await sh(`ls -A ${engine.root} 2>/dev/null | wc -l`)
    assert.equal(seen.trim(), '0')
    if (kind !== 'host') return
    const secret = join(dir, `secret-${userns}`)
    await mkdir(secret)
    await writeFile(join(secret, 'key'), 'secret\n')
    await writeFile(join(dir, `file-${userns}`), 'secret\n')
    const image = Image.host({ hide: [secret, join(dir, `file-${userns}`)] })
    const script = `cat ${secret}/key ${dir}/file-${userns}; ls -A ${secret}; echo end`
    const { stdout } = await Container.run(image, ['sh', '-c', script], { engine, userns, reject: false })
    assert.equal(stdout, 'end\n')
  },
)

eachSetting(fixture, 'the table of mounts holds no path of the host', async ({ sh, kind, fixture: { dir } }) => {
  const mounts = [{ type: 'bind', source: dir, target: '/bound', readOnly: true }] as const
  const table = await sh('cat /proc/self/mountinfo; cat /proc/self/mounts', { mounts })
  const lines = table.trim().split('\n')
  // A bind's own origin is what the kernel shows of it; the fourth field, relative to its file system.
  const rest = lines.filter((line) => !line.includes(' /bound '))
  assert.equal(lines.length - rest.length, 2)
  const state = join(dir, 'root')
  for (const line of rest) {
    // Where the host is the image, the hidden state directory is a mount point of the container itself.
    if (kind === 'host' && line.includes(` ${state} `)) continue
    assert.ok(!line.includes(dir), line)
    assert.ok(!/(upperdir|lowerdir|workdir)[+=]*\/(?!proc\/self\/fd)/.test(line), line)
  }
  assert.doesNotMatch(table, /wherry-slot|\.old|put_old/)
})
