// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { registryHost } from '../../../lib/cli/commands/login.ts'
import { splitTerm } from '../../../lib/cli/commands/search.ts'
import { parseUsers } from '../../../lib/cli/commands/serve-registry.ts'
import { CliError } from '../../../lib/cli/errors.ts'
import { parseChanges } from '../../../lib/cli/flags/change-instructions.ts'
import { toCreateOptions } from '../../../lib/cli/flags/create-options.ts'
import { collectEnv } from '../../../lib/cli/flags/env-flags.ts'
import { parseContainerFilters, parseImageFilters, parseSearchFilters } from '../../../lib/cli/flags/filter-flags.ts'
import { parseMoment } from '../../../lib/cli/flags/moment.ts'
import { parseMount, parseTmpfs, parseVolume } from '../../../lib/cli/flags/mount-flags.ts'
import type { RunFlags } from '../../../lib/cli/flags/run-flags.ts'
import { seccompFile, toRunOptions } from '../../../lib/cli/flags/run-options.ts'

function refused(action: () => unknown, message: RegExp): void {
  assert.throws(action, (error) => {
    assert.ok(error instanceof CliError, String(error))
    assert.match(error.message, message)
    return true
  })
}

test('-v is a bind mount or a volume', () => {
  const bind = { type: 'bind', source: '/work/data', target: '/data' }
  assert.deepEqual(parseVolume('/work/data:/data', '/work'), bind)
  assert.deepEqual(parseVolume('./data:/data:ro,rslave,z', '/work'), { ...bind, readOnly: true, propagation: 'rslave' })
  const volume = { type: 'volume', source: 'name', target: '/data' }
  assert.deepEqual(parseVolume('/data', '/work'), { type: 'volume', target: '/data' })
  assert.deepEqual(parseVolume('name:/data', '/work'), volume)
  assert.deepEqual(parseVolume('name:/data:ro,nocopy,z', '/work'), { ...volume, readOnly: true, noCopy: true })
  refused(() => parseVolume('name:/data:rslave', '/work'), /'rslave' is not supported for volumes/)
  refused(() => parseVolume('a/b:/data', '/work'), /no slashes/)
  refused(() => parseVolume('/a:/b:c:d', '/work'), /two colons/)
  refused(() => parseVolume('/a:/b:nocopy', '/work'), /'nocopy' is not supported/)
})

test('--mount is a bind mount, a volume or a tmpfs', () => {
  assert.deepEqual(parseMount('type=bind,src=data,dst=/d,readonly,bind-propagation=shared', '/work'), {
    type: 'bind',
    source: '/work/data',
    target: '/d',
    readOnly: true,
    propagation: 'shared',
  })
  assert.deepEqual(parseMount('type=bind,source=/a,target=/b,ro=false,bind-nonrecursive', '/'), {
    type: 'bind',
    source: '/a',
    target: '/b',
    readOnly: false,
    recursive: false,
  })
  const tmpfs = { type: 'tmpfs', target: '/t', size: '64m', mode: 0o700 }
  assert.deepEqual(parseMount('type=tmpfs,destination=/t,tmpfs-size=64m,tmpfs-mode=0700', '/'), tmpfs)
  const volume = { type: 'volume', source: 'a', target: '/b' }
  assert.deepEqual(parseMount('src=a,dst=/b,volume-driver=local', '/'), volume)
  const all = { ...volume, readOnly: true, noCopy: true, subpath: 'c' }
  assert.deepEqual(parseMount('type=volume,src=a,dst=/b,ro,volume-nocopy,volume-subpath=c', '/'), all)
  refused(() => parseMount('src=a,dst=/b,volume-opt=x', '/'), /'volume-opt' is not supported/)
  refused(() => parseMount('type=image,src=a,dst=/b', '/'), /type 'image' is not supported/)
  refused(() => parseMount('type=bind,dst=/b', '/'), /source and a target/)
  refused(() => parseMount('type=bind,src=/a,dst=/b,volume-opt=x', '/'), /'volume-opt' is not supported/)
  refused(() => parseMount('type=tmpfs', '/'), /needs a target/)
})

test('--tmpfs', () => {
  assert.deepEqual(parseTmpfs('/run'), { type: 'tmpfs', target: '/run' })
  const all = { type: 'tmpfs', target: '/run', size: '1m', mode: 0o1777, readOnly: true, noExec: false }
  assert.deepEqual(parseTmpfs('/run:size=1m,mode=1777,ro,exec,nosuid'), all)
  refused(() => parseTmpfs('/run:uid=1'), /'uid=1' is not supported/)
  refused(() => parseTmpfs('/run:mode=9'), /octal/)
})

test('variables: files first, then flags, and names alone from our own', () => {
  const file = { path: 'f', text: '\ufeff# comment\nA=1\r\n\n  B="quoted"\nOWN\nMISSING\n' }
  assert.deepEqual(collectEnv([file], ['A=2', 'C=x=y', 'OWN2'], { OWN: 'o', OWN2: 'p' }), {
    A: '2',
    B: '"quoted"',
    OWN: 'o',
    C: 'x=y',
    OWN2: 'p',
  })
  refused(() => collectEnv([], ['=x'], {}), /--env/)
  refused(() => collectEnv([{ path: 'f', text: 'A=1\nno name=secret\n' }], [], {}), /^Line 2 of f (?!.*secret)/)
})

test('--change', () => {
  const changes = [
    'CMD ["sh", "-c"]',
    'entrypoint run it',
    'ENV A=b C="d e" D=\'f g\' E=h\\ i',
    'ENV OLD style value',
    'LABEL k=v',
    'EXPOSE 80 53/udp',
    'VOLUME /data /more',
    'VOLUME ["/json"]',
    'USER app',
    'WORKDIR /srv',
    'STOPSIGNAL SIGINT',
  ]
  assert.deepEqual(parseChanges(changes), {
    Cmd: ['sh', '-c'],
    Entrypoint: ['/bin/sh', '-c', 'run it'],
    Env: ['A=b', 'C=d e', 'D=f g', 'E=h i', 'OLD=style value'],
    Labels: { k: 'v' },
    ExposedPorts: { '80/tcp': {}, '53/udp': {} },
    Volumes: { '/data': {}, '/more': {}, '/json': {} },
    User: 'app',
    WorkingDir: '/srv',
    StopSignal: 'SIGINT',
  })
  refused(() => parseChanges(['RUN true']), /instructions are CMD/)
  refused(() => parseChanges(['CMD']), /nothing after/)
  refused(() => parseChanges(['CMD [1]']), /array of strings/)
  refused(() => parseChanges(['CMD ["a"']), /not a JSON array/)
  refused(() => parseChanges(['ENV A=b C']), /NAME=value/)
})

test('--filter', () => {
  assert.deepEqual(
    parseImageFilters(['reference=a*', 'reference=b', 'label=x=y', 'label!=z', 'dangling=true', 'until=24h']),
    {
      reference: ['a*', 'b'],
      label: ['x=y'],
      notLabel: ['z'],
      dangling: true,
      until: '24h',
    },
  )
  refused(() => parseImageFilters(['nope=1']), /no filter 'nope'/)
  refused(() => parseImageFilters(['dangling']), /key=value/)
  refused(() => parseImageFilters(['dangling=maybe']), /true or false/)
  refused(() => parseImageFilters(['constructor=1']), /no filter/)
  assert.deepEqual(parseSearchFilters(['stars=3', 'is-official=false']), { minStars: 3, isOfficial: false })
  refused(() => parseSearchFilters(['stars=many']), /number/)
  refused(() => parseSearchFilters(['automated=true']), /no filter/)
})

function optionsOf(flags: RunFlags, seccomp?: string): object {
  return toRunOptions(flags, { env: {}, seccomp, cwd: '/work' })
}

test("run: Docker's flags become options", () => {
  assert.deepEqual(optionsOf({}), { env: {} })
  const flags: RunFlags = {
    workdir: '/w',
    user: 'a:b',
    groupAdd: ['g'],
    label: ['a=b', 'c'],
    hostname: 'h',
    volume: ['./x:/x'],
    tmpfs: ['/t'],
    memory: '64m',
    cpus: 0.5,
    pidsLimit: 0,
    ulimit: ['nofile=10:20', 'core=-1'],
    capAdd: ['NET_RAW'],
    addHost: ['a:1.2.3.4', 'b:[::1]', 'c=::2'],
    sysctl: ['net.a=1'],
    timeout: 1.5,
    securityOpt: ['no-new-privileges:false', 'seccomp=unconfined', 'label=disable'],
  }
  assert.deepEqual(optionsOf(flags), {
    env: {},
    cwd: '/w',
    user: 'a:b',
    groups: ['g'],
    labels: { a: 'b', c: '' },
    hostname: 'h',
    mounts: [
      { type: 'bind', source: '/work/x', target: '/x' },
      { type: 'tmpfs', target: '/t' },
    ],
    memory: '64m',
    cpus: 0.5,
    pids: -1,
    ulimits: { nofile: { soft: 10, hard: 20 }, core: { soft: -1, hard: -1 } },
    capabilities: { add: ['NET_RAW'], drop: undefined },
    extraHosts: { a: '1.2.3.4', b: '::1', c: '::2' },
    sysctls: { 'net.a': '1' },
    timeoutMs: 1500,
    noNewPrivileges: false,
    seccomp: 'unconfined',
  })
})

test('run: a seccomp profile is a file or a word', () => {
  assert.equal(seccompFile({ securityOpt: ['seccomp=unconfined'] }), undefined)
  assert.equal(seccompFile({ securityOpt: ['no-new-privileges', 'seccomp=p.json'] }), 'p.json')
  const profile = optionsOf({ securityOpt: ['seccomp=p.json'] }, '{"defaultAction":"SCMP_ACT_ALLOW"}')
  assert.deepEqual(profile, { env: {}, seccomp: { defaultAction: 'SCMP_ACT_ALLOW' } })
  refused(() => optionsOf({ securityOpt: ['seccomp=p.json'] }, 'no json'), /p\.json is not JSON/)
  refused(() => optionsOf({ securityOpt: ['apparmor=other'] }), /not supported/)
  refused(() => optionsOf({ ulimit: ['nofile'] }), /--ulimit/)
  refused(() => optionsOf({ addHost: ['x'] }), /--add-host/)
  refused(() => optionsOf({ sysctl: ['x'] }), /--sysctl/)
})

test('registries in what people write', () => {
  assert.deepEqual(splitTerm('nginx'), { host: 'docker.io', rest: 'nginx' })
  assert.deepEqual(splitTerm('library/nginx'), { host: 'docker.io', rest: 'library/nginx' })
  assert.deepEqual(splitTerm('localhost:5000/a/b'), { host: 'localhost:5000', rest: 'a/b' })
  assert.deepEqual(splitTerm('quay.io/x'), { host: 'quay.io', rest: 'x' })
  assert.equal(registryHost('https://index.docker.io/v1/'), 'docker.io')
  assert.equal(registryHost('localhost:5000'), 'localhost:5000')
})

test('a file of users', () => {
  assert.deepEqual(parseUsers('# us\nada:open sesame\n\nbob:a:b\r\n', 'f'), { ada: 'open sesame', bob: 'a:b' })
  refused(() => parseUsers('ada\n', 'f'), /Line 1 of f/)
  refused(() => parseUsers('ada:$2y$05$abc\n', 'f'), /hash/)
  refused(() => parseUsers('\n', 'f'), /no users/)
})

test('run -d and create: what containers in the background have', () => {
  const files = { env: {}, seccomp: undefined, cwd: '/' }
  const flags = {
    name: 'web',
    rm: true,
    stopTimeout: 3,
    stopSignal: 'INT',
    restart: 'always',
    logOpt: ['max-size=1m', 'max-file=2'],
  }
  assert.deepEqual(toCreateOptions(flags, files, 'run'), {
    env: {},
    name: 'web',
    detached: true,
    autoRemove: true,
    stopSignal: 'INT',
    stopTimeoutMs: 3000,
    restart: 'always',
    logs: { maxSize: '1m', maxFiles: 2 },
  })
  const { tty, stdin } = toCreateOptions({ tty: true, interactive: true }, files, 'run')
  assert.deepEqual([tty, stdin], [true, 'open'])
  assert.equal(toCreateOptions({ interactive: true }, files, 'create').stdin, 'once')
  refused(() => toCreateOptions({ timeout: 3 }, files, 'run'), /'--timeout' is not supported/)
  refused(() => toCreateOptions({ logOpt: ['max-file=x'] }, files, 'run'), /max-file=x/)
})

test('moments of logs', () => {
  assert.equal(parseMoment('1h30m', 10_000_000), 10_000_000 - 5_400_000)
  assert.equal(parseMoment('1700000000.5'), 1_700_000_000_500)
  assert.equal(parseMoment('2026-01-31T12:00:00Z'), Date.UTC(2026, 0, 31, 12))
  assert.throws(() => parseMoment('soon'), /It must be a date/)
})

test('--filter of containers', () => {
  const filters = ['status=exited', 'status=created', 'label=a=b', 'exited=137', 'name=web', 'ancestor=alpine']
  assert.deepEqual(parseContainerFilters(filters), {
    status: ['exited', 'created'],
    label: ['a=b'],
    exitCode: 137,
    name: 'web',
    ancestor: 'alpine',
  })
  refused(() => parseContainerFilters(['name=a', 'name=b']), /once/)
  refused(() => parseContainerFilters(['exited=x']), /must have a number/)
  refused(() => parseContainerFilters(['status=exited'], ['label']), /no filter 'status'/)
})
