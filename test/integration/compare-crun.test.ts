// SPDX-License-Identifier: MIT
// The same config.json run by crun: what is seen inside differs only in what docs/compared-with-crun.md lists.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { buildRuntimeSpec } from '../../lib/oci/build-spec.ts'
import { serializeRuntimeSpec } from '../../lib/oci/runtime-spec.ts'
import { normalizeContainerOptions } from '../../lib/options/container-options.ts'
import { resolveUser } from '../../lib/rootfs/users.ts'
import { needs } from '../helpers/needs.ts'
import { packageRoot } from '../helpers/package-root.ts'
import { runOk } from '../helpers/run-child.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

/** Each part is printed behind a line `== name`. */
const kScript = `for file in mountinfo status uid_map gid_map cgroup limits; do echo "== $file"; cat /proc/self/$file; done
echo '== dev'; ls -ln /dev; echo '== etc'; pwd; id; hostname; env | sort; echo '== fd'; ls /proc/$$/fd
echo '== sysctl'; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /proc/sys/net/ipv4/ping_group_range`

/** A view of a container's inside: what is compared by its name, such as `mountinfo /dev options`. */
type View = Map<string, string>

for (const userns of ['auto', 'host'] as const) {
  test(`the inside looks as crun makes it, but for what is listed (userns ${userns})`, async (t) => {
    // The list of differences is made for cgroup v1.
    if (!needsContainers(t) || !needs(t, 'command:crun', 'cgroup-v1')) return
    const options = { userns, hostname: 'box', user: 'alice', ulimits: { nofile: 128 } } as const
    const ours = parseView((await fixture.run(['/bin/sh', '-c', kScript], options)).stdout)
    const theirs = parseView(await runByCrun(options))
    const listed = await listedDifferences(userns)
    assert.deepEqual(differences(theirs, ours), listed)
  })

  test(`root's capabilities and groups are those that crun gives (userns ${userns})`, async (t) => {
    if (!needsContainers(t) || !needs(t, 'command:crun')) return
    const options = { userns, hostname: 'box', capabilities: { add: ['NET_ADMIN'], drop: ['MKNOD'] }, groups: [7] }
    const status = (view: View): string[][] => [...view].filter(([name]) => /^status|_map|^cgroup/.test(name)).sort()
    const ours = parseView((await fixture.run(['/bin/sh', '-c', kScript], options)).stdout)
    assert.deepEqual(status(ours), status(parseView(await runByCrun(options))))
  })
}

/** Runs the script by crun, from a configuration that the library writes. */
async function runByCrun(options: object & { userns: 'auto' | 'host'; user?: string }): Promise<string> {
  const { engine } = fixture
  const { host } = await engine.runtime()
  const { groups = [], user = '' } = options as { groups?: number[]; user?: string }
  const [passwd, group] = await Promise.all(
    ['passwd', 'group'].map((name) => readFile(join(fixture.dir, 'rootfs/etc', name))),
  )
  const bundle = await fixture.tempDir()
  const spec = buildRuntimeSpec({
    options: normalizeContainerOptions(['/bin/sh', '-c', kScript], options),
    imageConfig: { config: {} },
    user: resolveUser(user, groups.map(String), { passwd: passwd ?? null, group: group ?? null }),
    host: host.facts,
    rootfsPath: join(bundle, 'rootfs'),
    hostname: 'box',
    cgroupsPath: `/wherry-compare-${process.pid}`,
    idMap: options.userns === 'auto' ? host.idMapping.map : null,
  })
  await mkdir(join(bundle, 'rootfs'))
  await writeFile(join(bundle, 'config.json'), serializeRuntimeSpec(spec))
  // crun has no id-mapped layers: the files have to belong to the container's root.
  const owner = spec.linux.uidMappings?.[0]?.hostID ?? 0
  execFileSync('tar', ['-C', join(bundle, 'rootfs'), '-xf', join(fixture.dir, 'rootfs.tar')])
  execFileSync('chown', ['-hR', `${owner}:${owner}`, join(bundle, 'rootfs')])
  execFileSync('chmod', ['711', fixture.dir, bundle])
  // crun 1.8 refuses a host that has both kinds of cgroups; it does not see the second one from here.
  const script = 'umount /sys/fs/cgroup/unified 2>/dev/null || true; exec crun --root "$1/state" run --bundle "$1" "$2"'
  return runOk('unshare', ['--mount', 'sh', '-ec', script, 'sh', bundle, `wherry-compare-${process.pid}`])
}

function parseView(output: string): View {
  const view: View = new Map()
  for (const part of output.split(/^== /m).slice(1)) {
    const [name = '', ...lines] = part.trimEnd().split('\n')
    for (const line of lines) {
      for (const [key, value] of parseLine(name, line)) view.set(key, value)
    }
  }
  return view
}

function parseLine(part: string, line: string): [string, string][] {
  switch (part) {
    case 'mountinfo':
      return parseMount(line)
    case 'status':
      return /^(Cap|Seccomp|NoNew|Groups|Uid|Gid|SigIgn|SigBlk|Umask)/.test(line) ? [pair('status', line, /:\s*/)] : []
    case 'limits':
      return line.startsWith('Max') ? [pair('limits', line, /\s{2,}(?=\S)/)] : []
    case 'dev':
      return parseNode(line)
    default:
      return line === '' ? [] : [[`${part} ${line}`, 'there']]
  }
}

function pair(part: string, line: string, separator: RegExp): [string, string] {
  const at = line.search(separator)
  return [`${part} ${line.slice(0, at)}`, line.slice(at).replace(/^:/, '').replaceAll(/\s+/g, ' ').trim()]
}

/** Paths that stand for a kind, since which of them exist is up to the kernel. */
const kKinds: [RegExp, string][] = [
  [/^\/dev\/(null|zero|full|random|urandom|tty)$/, '(device)'],
  [/^\/proc\/(bus|fs|irq|sys|sysrq-trigger)$/, '(read-only path)'],
  [/^\/proc\/(acpi|scsi|asound)$|^\/sys\/(firmware|devices\/virtual\/powercap)$/, '(masked directory)'],
  [/^\/proc\/(kcore|keys|interrupts|latency_stats|timer_list|timer_stats|sched_debug)$/, '(masked file)'],
  [/^\/sys\/fs\/cgroup\/.*$/, '(cgroup hierarchy)'],
]

function parseMount(line: string): [string, string][] {
  const [before = '', after = ''] = line.split(' - ')
  const [, , , root = '', target = '', options = ''] = before.split(' ')
  const [type = '', source = '', superOptions = ''] = after.split(' ')
  // Not there for crun, see above.
  if (target === '/sys/fs/cgroup/unified') return []
  const kind = kKinds.find(([pattern]) => pattern.test(target))?.[1] ?? target
  const fields: Record<string, string> = { root, type, source, options: sortWords(options) }
  if (kind === '/') fields.root = fields.source = fields.type = '(root)'
  if (kind === '(device)' || kind === '(read-only path)' || kind === '(masked file)') fields.root = '(of the same name)'
  if (kind === '(cgroup hierarchy)')
    fields.source = fields.source?.startsWith('/') ? '(its path)' : (fields.source ?? '')
  else if (kind !== '/' && type !== 'devtmpfs') fields['file system options'] = sortWords(superOptions)
  return Object.entries(fields).map(([name, value]) => [`mountinfo ${kind} ${name}`, value])
}

/** Options in order, without what is a number of this host. */
function sortWords(options: string): string {
  const words = options.split(',').filter((word) => !/^(uid|gid)=\d{6,}$/.test(word))
  return words.sort().join(',')
}

/** A line of `ls -l`: type and permissions, owner, numbers or target; not size and date. */
function parseNode(line: string): [string, string][] {
  const match = /^(\S{10})\s+\d+\s+(\d+)\s+(\d+)\s+(\d+,\s+\d+|\d+)\s+\w+\s+\d+\s+[\d:]+\s+(\S+)(?: -> (\S+))?$/.exec(
    line,
  )
  if (match === null) return []
  const [, mode = '', uid = '', gid = '', numbers = '', name = '', target] = match
  const rest = target ?? (numbers.includes(',') ? numbers.replace(/\s+/, '') : '')
  return [
    [`dev ${name} mode`, `${mode} ${rest}`.trim()],
    [`dev ${name} owner`, `${uid}:${gid}`],
  ]
}

/** Lines as in the document: `name: crun …, wherry …`. */
function differences(theirs: View, ours: View): string[] {
  const names = [...new Set([...theirs.keys(), ...ours.keys()])].sort()
  return names.flatMap((name) => {
    const [crun = 'nothing', wherry = 'nothing'] = [theirs.get(name), ours.get(name)]
    return crun === wherry ? [] : [`${name}: crun ${crun}; wherry ${wherry}`]
  })
}

/** The lines in the document's blocks marked `differences`, and `differences auto` or `differences host`. */
async function listedDifferences(userns: string): Promise<string[]> {
  const text = await readFile(join(packageRoot(), 'docs/compared-with-crun.md'), 'utf8')
  const blocks = [...text.matchAll(/^```differences ?(\w*)\n([\s\S]*?)^```$/gm)]
  const lines = blocks.flatMap(([, only = '', body = '']) => (only === '' || only === userns ? body.split('\n') : []))
  return lines.filter((line) => line !== '').sort()
}
