// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { loadNative } from '../../../lib/launcher/native.ts'
import { buildRuntimeSpec } from '../../../lib/oci/build-spec.ts'
import { kCapabilities } from '../../../lib/oci/capabilities.ts'
import type { RuntimeSpec } from '../../../lib/oci/runtime-spec.ts'
import {
  type ContainerOptions,
  type NormalizedContainerOptions,
  normalizeContainerOptions,
} from '../../../lib/options/container-options.ts'
import { encodePlan } from '../../../lib/plan/encode.ts'
import type { OpName, Step } from '../../../lib/plan/ops.ts'
import type { PrepareInput } from '../../../lib/plan/prepare-plan.ts'
import type { StartInput } from '../../../lib/plan/start-plan.ts'

/** Options as a container gets them, with `true` as its program. */
export function normalized(options: ContainerOptions = {}): NormalizedContainerOptions {
  return normalizeContainerOptions(['true'], options)
}

/** A configuration as the engine makes it, on a host that does not change. */
export function specOf(options: NormalizedContainerOptions, hostname = 'box', networkPath?: string): RuntimeSpec {
  return buildRuntimeSpec({
    options,
    imageConfig: { config: {} },
    user: { uid: 0, gid: 0, additionalGids: [0], home: '/root', name: 'root' },
    host: { arch: 'x64', kernel: '6.1.0', boundingCapabilities: kCapabilities, cpus: 4 },
    rootfsPath: '/run/root',
    hostname: options.hostname ?? hostname,
    networkPath,
    cgroupsPath: null,
    idMap: options.userns === 'auto' ? [{ containerId: 0, hostId: 100_000, size: 65_536 }] : null,
  })
}

/** What the first plan is made from, for an image of two layers. */
export function prepareInput(spec: RuntimeSpec, changes: Partial<PrepareInput> = {}): PrepareInput {
  return {
    spec,
    stageDir: '/tmp',
    statePath: null,
    mapMode: '',
    directories: [['/state/scratch', 0o700]],
    cgroupTasks: ['/sys/fs/cgroup/memory/x/tasks'],
    unifiedCgroup: '/sys/fs/cgroup/x',
    cgroupViews: [{ directory: 'memory', type: 'cgroup', options: ['memory'] }],
    networkSlot: null,
    etcFiles: { '/etc/hostname': 'box\n' },
    root: {
      lowers: ['0/layers/b', '0/layers/a'],
      upper: 'scratch/upper',
      work: 'scratch/work',
      overlays: [],
      detached: [],
      host: null,
      userXattr: true,
      volatile: true,
      noDevices: true,
      hide: [],
    },
    bindsAhead: false,
    ...changes,
  }
}

/** What the second plan is made from. */
export function startInput(spec: RuntimeSpec, changes: Partial<StartInput> = {}): StartInput {
  return {
    spec,
    bindSlots: new Map(),
    bindsAhead: false,
    cgroupViews: [],
    volumes: [],
    stdio: [32, 33, 34],
    setsGroups: true,
    seccomp: new Uint8Array([1, 2, 3]),
    ...changes,
  }
}

/** Names of the operations, in order. */
export function opsOf(steps: readonly Step[]): OpName[] {
  return steps.map(({ op }) => op)
}

/** Options of all kinds; several values of each, so that pairs differ in some and agree in others. */
export const containerOptions: fc.Arbitrary<ContainerOptions> = fc.record(
  {
    env: fc.constantFrom({}, { A: '1' }, { SECRET: 'hunter2' }),
    cwd: fc.constantFrom('/', '/srv'),
    user: fc.constantFrom('0', '1000:1000'),
    groups: fc.constantFrom([], ['4']),
    hostname: fc.constantFrom('one', 'two'),
    tty: fc.boolean(),
    init: fc.boolean(),
    readOnly: fc.boolean(),
    mounts: fc.constantFrom(
      [],
      [{ type: 'bind' as const, source: '/srv', target: '/srv' }],
      [{ type: 'bind' as const, source: '/srv', target: '/srv', propagation: 'rslave' as const }],
      [{ type: 'bind' as const, source: '/srv', target: '/sys' }],
      [{ type: 'tmpfs' as const, target: '/scratch' }],
      [{ type: 'tmpfs' as const, target: '/dev/shm', size: '1m' }],
    ),
    memory: fc.constantFrom('64m', '128m'),
    pids: fc.constantFrom(10, 20),
    cpus: fc.constantFrom(0.5, 1),
    ulimits: fc.constantFrom({}, { nofile: 1024 }),
    oomScoreAdj: fc.constantFrom(0, 500),
    shmSize: fc.constantFrom('1m', '2m'),
    userns: fc.constantFrom('auto', 'host'),
    capabilities: fc.constantFrom({}, { add: ['ALL'] }, { drop: ['ALL'] }),
    seccomp: fc.constantFrom('default', 'unconfined'),
    noNewPrivileges: fc.boolean(),
    maskedPaths: fc.constantFrom([], ['/proc/kcore'], ['/etc/shadow', '/sys/firmware']),
    readonlyPaths: fc.constantFrom([], ['/proc/sys'], ['/usr']),
    sysctls: fc.constantFrom({}, { 'kernel.msgmax': 1000 }, { 'kernel.msgmax': 2000 }),
    privileged: fc.boolean(),
    network: fc.constantFrom('none', 'host'),
    dns: fc.constantFrom([], ['10.0.0.1'], ['10.0.0.2']),
    extraHosts: fc.constantFrom({}, { a: '10.0.0.1' }, { a: '10.0.0.2' }),
    labels: fc.constantFrom({}, { a: 'b' }),
    limits: fc.constantFrom('strict', 'best-effort'),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<ContainerOptions>

/** Asserts that a plan comes of the configuration alone, which stays as it is, and that the launcher would take it. */
export function assertPure(build: (spec: RuntimeSpec) => readonly Step[], spec: RuntimeSpec): void {
  const before = JSON.stringify(spec)
  const bytes = encodePlan(build(spec))
  assert.equal(loadNative().checkPlan(bytes), undefined)
  assert.deepEqual(encodePlan(build(structuredClone(spec))), bytes)
  assert.equal(JSON.stringify(spec), before)
}
