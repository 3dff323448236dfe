// SPDX-License-Identifier: MIT
import type { Work } from '../job.ts'
import type { Subject, SubjectContext } from '../subject.ts'
import { BubblewrapSubject } from './bubblewrap.ts'
import { DockerdSubject } from './dockerd.ts'
import { OciExecSubject } from './oci-exec.ts'
import { OciRuntimeSubject } from './oci-runtime.ts'
import { PodmanSubject } from './podman.ts'
import { SpawnSubject } from './spawn.ts'
import { WherrySubject } from './wherry.ts'
import { WherryExecSubject } from './wherry-exec.ts'

/** Subjects by name, in the order of the tables. */
export type Catalogue = ReadonlyMap<string, (context: SubjectContext) => Subject>

/** Those that start a container for each run. */
export const kCatalogue: Catalogue = new Map<string, (context: SubjectContext) => Subject>([
  ['wherry', (context) => new WherrySubject(context)],
  ['spawn', (context) => new SpawnSubject(context)],
  ['bwrap', (context) => new BubblewrapSubject(context)],
  ['crun', (context) => new OciRuntimeSubject('crun', context)],
  ['runc', (context) => new OciRuntimeSubject('runc', context)],
  ['podman', (context) => new PodmanSubject(context)],
  ['dockerd', (context) => new DockerdSubject(context)],
])

const kExecCatalogue: Catalogue = new Map<string, (context: SubjectContext) => Subject>([
  ['wherry', (context) => new WherryExecSubject(context)],
  ['spawn', (context) => new SpawnSubject(context)],
  ['crun', (context) => new OciExecSubject('crun', context)],
  ['runc', (context) => new OciExecSubject('runc', context)],
])

/** The subjects that do a kind of work. */
export function catalogueOf(work: Work): Catalogue {
  return work === 'run' ? kCatalogue : kExecCatalogue
}
