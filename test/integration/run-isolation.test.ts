// SPDX-License-Identifier: MIT
// What a container may do: namespaces, capabilities, system calls, hidden paths, devices, descriptors.
import assert from 'node:assert/strict'
import { closeSync, openSync, readlinkSync } from 'node:fs'
import { test } from 'node:test'
import { seccompArchInfo } from '../../lib/oci/seccomp/syscall-table.ts'
import type { SeccompProfile } from '../../lib/oci/seccomp-profile.ts'
import { runOk } from '../helpers/run-child.ts'
import { eachSetting, needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

const kDefaultCapabilities = [
  ...['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP'],
  ...['NET_BIND_SERVICE', 'NET_RAW', 'SYS_CHROOT', 'MKNOD', 'AUDIT_WRITE', 'SETFCAP'],
]
const kBits: Record<string, number> = {
  ...{ CHOWN: 0, DAC_OVERRIDE: 1, FOWNER: 3, FSETID: 4, KILL: 5, SETGID: 6, SETUID: 7, SETPCAP: 8 },
  ...{ NET_BIND_SERVICE: 10, NET_ADMIN: 12, NET_RAW: 13, SYS_CHROOT: 18, SYS_ADMIN: 21, MKNOD: 27 },
  ...{ AUDIT_WRITE: 29, SETFCAP: 31 },
}

function mask(names: readonly string[]): string {
  const bits = names.reduce((sum, name) => sum | (1n << BigInt(kBits[name] ?? 63)), 0n)
  return bits.toString(16).padStart(16, '0')
}

eachSetting(fixture, 'has namespaces of its own', async ({ sh, userns }) => {
  const kinds = ['mnt', 'pid', 'net', 'uts', 'ipc', 'cgroup', 'user']
  const out = await sh(`for n in ${kinds.join(' ')}; do readlink /proc/self/ns/$n; done`)
  const inside = out.trim().split('\n')
  for (const [i, kind] of kinds.entries()) {
    const isShared = inside[i] === readlinkSync(`/proc/self/ns/${kind}`)
    assert.equal(isShared, kind === 'user' && userns === 'host', kind)
  }
  const net = await sh('readlink /proc/self/ns/net; cat /proc/net/dev | wc -l', { network: 'host' })
  assert.equal(net.split('\n')[0], readlinkSync('/proc/self/ns/net'))
})

eachSetting(fixture, 'has the loopback interface up, and no other', async ({ sh, probe, kind }) => {
  const devices = await sh('cat /proc/net/dev')
  assert.match(devices, /^ *lo:/m)
  assert.equal(devices.match(/^ *(?!lo|sit|tunl|ip6|gre|erspan|teql)\w+:/gm), null)
  const loopback = `cat /proc/net/fib_trie | grep -c 127.0.0.1; ${probe} pid > /dev/null`
  assert.ok(Number(await sh(loopback)) > 0)
  if (kind === 'imported') assert.match(await sh('ping -c 1 -W 2 127.0.0.1'), /1 packets received/)
})

eachSetting(fixture, 'maps ids, or does not', async ({ sh, userns }) => {
  const rows = (await sh('cat /proc/self/uid_map'))
    .trim()
    .split('\n')
    .map((row) => row.trim().split(/\s+/).map(Number))
  if (userns === 'host') assert.deepEqual(rows, [[0, 0, 4294967295]])
  else {
    assert.equal(rows[0]?.[0], 0)
    assert.ok((rows[0]?.[1] ?? 0) > 0 && (rows[0]?.[2] ?? 0) >= 65_536, String(rows))
  }
  assert.match(await sh('cat /proc/self/setgroups'), /^allow$/m)
})

eachSetting(fixture, 'has Docker’s default capabilities', async ({ run, probe }) => {
  const { stdout } = await run([probe, 'caps'])
  const caps = mask(kDefaultCapabilities)
  const expected = { CapInh: mask([]), CapPrm: caps, CapEff: caps, CapBnd: caps, CapAmb: mask([]) }
  for (const [set, value] of Object.entries(expected)) assert.ok(stdout.includes(`${set}:\t${value}\n`), stdout)
})

eachSetting(fixture, 'adds and drops capabilities', async ({ run, probe }) => {
  const effective = async (capabilities: object): Promise<string> =>
    /^CapEff:\t(\w+)$/m.exec((await run([probe, 'caps'], { capabilities })).stdout)?.[1] ?? ''
  assert.equal(await effective({ drop: ['ALL'] }), mask([]))
  assert.equal(await effective({ drop: ['ALL'], add: ['CHOWN', 'CAP_KILL'] }), mask(['CHOWN', 'KILL']))
  const more = [...kDefaultCapabilities, 'NET_ADMIN', 'SYS_ADMIN']
  assert.equal(await effective({ add: ['net_admin', 'SYS_ADMIN'] }), mask(more))
  assert.equal(await effective({ drop: ['mknod'] }), mask(kDefaultCapabilities.filter((name) => name !== 'MKNOD')))
  assert.notEqual(await effective({ add: ['ALL'] }), mask(kDefaultCapabilities))
  const { stderr } = await run(['chown', '1:1', '/srv'], { capabilities: { drop: ['CHOWN'] }, reject: false })
  assert.match(stderr, /not permitted/)
})

test('no new privileges keeps setuid programs from being more than their caller', async (t) => {
  if (!needsContainers(t)) return
  for (const userns of ['auto', 'host'] as const) {
    const ids = async (noNewPrivileges?: boolean): Promise<string> =>
      (await fixture.run(['/probe-setuid', 'ids'], { user: 'bob', userns, noNewPrivileges })).stdout
    assert.match(await ids(), /^uid=1001,1001,1001 /)
    assert.match(await ids(true), /^uid=1001,1001,1001 /)
    assert.match(await ids(false), /^uid=1001,0,0 /)
    assert.match(await fixture.sh('/probe caps', { userns }), /^NoNewPrivs:\t1$/m)
    assert.match(await fixture.sh('/probe caps', { userns, noNewPrivileges: false }), /^NoNewPrivs:\t0$/m)
  }
})

/** The number of a system call here. */
function syscallNumber(name: string): string {
  if (name === 'unknown') return '999'
  const number = seccompArchInfo(process.arch === 'arm64' ? 'arm64' : 'x64').numbers.get(name)
  assert.ok(number !== undefined, name)
  return String(number)
}

eachSetting(fixture, 'filters system calls: by default, not at all, or as told', async ({ run, probe }) => {
  const call = async (name: string, options: object, ...args: string[]): Promise<string> =>
    (await run([probe, 'seccomp-probe', syscallNumber(name), ...args], options)).stdout.trim()
  assert.match((await run([probe, 'caps'])).stdout, /^Seccomp:\t2$/m)
  assert.match((await run([probe, 'caps'], { seccomp: 'unconfined' })).stdout, /^Seccomp:\t0$/m)
  assert.equal(await call('getpid', {}), 'ok')
  assert.equal(await call('unshare', {}, '0x10000000'), 'EPERM')
  assert.equal(await call('keyctl', {}), 'EPERM')
  assert.equal(await call('kexec_load', {}), 'EPERM')
  assert.equal(await call('unknown', {}), 'ENOSYS')
  assert.equal(await call('unshare', { seccomp: 'unconfined' }, '0x10000000'), 'ok')
  const custom: SeccompProfile = {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: ['uname'], action: 'SCMP_ACT_ERRNO', errnoRet: 95 }],
  }
  assert.equal(await call('uname', { seccomp: custom }), 'EOPNOTSUPP')
  assert.equal(await call('getpid', { seccomp: custom }), 'ok')
  const kill: SeccompProfile = { ...custom, syscalls: [{ names: ['uname'], action: 'SCMP_ACT_KILL_PROCESS' }] }
  const killed = await run([probe, 'seccomp-probe', syscallNumber('uname')], { seccomp: kill, reject: false })
  assert.equal(killed.killSignal, 'SIGSYS')
  await assert.rejects(run([probe, 'pid'], { seccomp: { defaultAction: 'NONSENSE' } as never }), {
    code: 'ERR_INVALID_OPTION',
  })
})

eachSetting(fixture, 'hides and protects paths of the kernel', async ({ sh, run, kind }) => {
  const script = `for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do
      [ ! -e $f ] || head -c 100 $f 2>/dev/null | wc -c; done | sort -u
    ls -A /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v : | grep . || echo nothing`
  assert.equal(await sh(script), '0\nnothing\n')
  for (const path of ['/proc/sys/kernel/hostname', '/proc/sysrq-trigger', '/proc/irq/default_smp_affinity']) {
    const { stderr, exitCode } = await run(['/bin/sh', '-c', `[ ! -e ${path} ] || echo 0 > ${path}`], { reject: false })
    assert.ok(exitCode === 0 || /Read-only file system|Permission denied/.test(stderr), stderr)
  }
  assert.match((await run(['/bin/sh', '-c', ': > /sys/kernel/x'], { reject: false })).stderr, /Read-only|nonexistent/)
  const paths = { maskedPaths: ['/usr/sbin', '/etc/passwd', '/no/such'], readonlyPaths: ['/tmp', '/no/such'] }
  const own = `ls -A /usr/sbin | wc -l; wc -c < /etc/passwd; touch /tmp/x 2>/dev/null || echo read-only; [ -r /proc/sys ] && echo ok`
  assert.deepEqual(
    (await sh(own, paths)).split('\n').map((s) => s.trim()),
    ['0', '0', 'read-only', 'ok', ''],
  )
  const none = await sh('cat /proc/timer_list | wc -c', { maskedPaths: [], readonlyPaths: [], reject: false })
  assert.ok(kind === 'host' || none !== undefined)
})

eachSetting(fixture, 'has the devices that OCI lists, and they work', async ({ sh, run, probe, kind }) => {
  const names = 'fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero'
  assert.equal((await run([probe, 'ls', '/dev'])).stdout, `${names.replaceAll(' ', '\n')}\n`)
  const devices = { null: '1:3', zero: '1:5', full: '1:7', random: '1:8', urandom: '1:9', tty: '5:0' }
  for (const [name, number] of Object.entries(devices)) {
    assert.equal((await run([probe, 'mode', `/dev/${name}`])).stdout, `020666 ${number}\n`, name)
  }
  const links = 'for name in fd stdin stdout stderr ptmx; do readlink /dev/$name; done'
  const expected = ['/proc/self/fd', ...[0, 1, 2].map((fd) => `/proc/self/fd/${fd}`), 'pts/ptmx', '']
  assert.equal(await sh(links), expected.join('\n'))
  const works = `echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 8 /dev/urandom | wc -c
    echo to-stdout > /dev/stdout; echo y > /dev/shm/y; ! echo x > /dev/full`
  assert.equal(await sh(works, { readOnly: true }), '3\n8\nto-stdout\n')
  const user = kind === 'host' ? 'nobody' : 'alice'
  const own = 'echo out > /dev/stdout; echo err > /dev/stderr'
  assert.equal(await sh(own, { user }), 'out\n')
  const made = 'mknod /tmp/disk b 8 0 && head -c 1 /tmp/disk > /dev/null && echo READ'
  const { stdout } = await run(['/bin/sh', '-c', made], { reject: false })
  assert.doesNotMatch(stdout, /READ/)
})

eachSetting(fixture, 'inherits no descriptors', async ({ run, probe }) => {
  // Node opens with O_CLOEXEC; one without it is what a careless addon would leave around.
  const fd = openSync('/etc/passwd', 'r')
  try {
    const { stdout } = await run([probe, 'fds'])
    const lines = stdout.trim().split('\n').sort()
    assert.deepEqual(
      lines.map((line) => line.split(' ')[0]),
      ['0', '1', '2'],
    )
    assert.match(lines.join('\n'), /^0 \/dev\/null\n1 pipe:\[\d+\]\n2 pipe:\[\d+\]$/)
  } finally {
    closeSync(fd)
  }
})

eachSetting(fixture, 'is alone, and the leader of its session', async ({ run, probe, sh }) => {
  assert.equal((await run([probe, 'pid'])).stdout, 'pid=1 ppid=0 sid=1 pgrp=1 tty=0\n')
  const numbers = (await sh('echo /proc/[0-9]*')).trim()
  assert.equal(numbers, '/proc/1')
  const { stdout: status } = await run([probe, 'cat', '/proc/self/status'])
  assert.match(status, /^SigIgn:\t0{16}$/m)
  assert.match(status, /^SigBlk:\t0{16}$/m)
  assert.match(status, /^Umask:\t0022$/m)
})

test('signals that the embedding process ignores are not ignored inside', async (t) => {
  if (!needsContainers(t)) return
  const url = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href)
  const source = `
    import { Container, Engine, Image } from ${url('../../lib/index.js')}
    const engine = await Engine.open({ root: ${JSON.stringify(fixture.engine.root)} })
    const image = await Image.get('test', { engine })
    const { stdout } = await Container.run(image, ['/probe', 'cat', '/proc/self/status'], { engine })
    console.log(/SigIgn.*/.exec(stdout)[0])
    await engine.close()`
  const script = 'trap "" HUP QUIT PIPE USR1 TERM XFSZ; exec "$0" --input-type=module --eval "$1"'
  assert.equal(await runOk('sh', ['-c', script, process.execPath, source]), 'SigIgn:\t0000000000000000\n')
})

eachSetting(fixture, 'shows the cgroup as the root of what there is', async ({ sh }) => {
  for (const line of (await sh('cat /proc/self/cgroup')).trim().split('\n')) assert.match(line, /^\d+:[^:]*:\/$/)
  assert.doesNotMatch(await sh('cat /proc/self/mountinfo'), / \/wherry\S* \/sys\/fs\/cgroup/)
  const { exitCode } = await fixture.run(['/bin/sh', '-c', 'mkdir /sys/fs/cgroup/memory/x 2>/dev/null'], {
    reject: false,
  })
  assert.notEqual(exitCode, 0)
})

eachSetting(fixture, 'sets kernel settings of its own namespaces', async ({ sh, run, probe }) => {
  const sysctls = { 'net.core.somaxconn': '1234', 'kernel.shm_rmid_forced': 1, 'fs.mqueue.msg_max': 50 }
  const files = '/proc/sys/net/core/somaxconn /proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/msg_max'
  assert.equal(await sh(`cat ${files}`, { sysctls }), '1234\n1\n50\n')
  assert.equal(await sh('cat /proc/sys/net/ipv4/ip_unprivileged_port_start'), '0\n')
  await assert.rejects(run([probe, 'pid'], { sysctls: { 'kernel.panic': 1 } }), { code: 'ERR_INVALID_OPTION' })
  await assert.rejects(run([probe, 'pid'], { sysctls: { 'net.no.such.thing': 1 } }), (error: Error) => {
    assert.match(error.message, /net[./]no[./]such[./]thing/)
    return true
  })
})

eachSetting(fixture, 'privileged lifts what is listed', async ({ sh, userns }) => {
  const status = await sh('cat /proc/self/status', { privileged: true })
  assert.match(status, /^Seccomp:\t0$/m)
  assert.match(status, /^NoNewPrivs:\t0$/m)
  assert.doesNotMatch(status, new RegExp(`^CapEff:\t${mask(kDefaultCapabilities)}$`, 'm'))
  assert.equal(await sh('mount -t tmpfs tmpfs /srv && touch /srv/x && ls /srv', { privileged: true }), 'x\n')
  if (userns === 'auto') assert.doesNotMatch(await sh('cat /proc/self/uid_map', { privileged: true }), /4294967295/)
})
