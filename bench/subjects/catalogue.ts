// SPDX-License-Identifier: MIT
import type { Subject, SubjectContext } from '../subject.ts'
import { BubblewrapSubject } from './bubblewrap.ts'
import { DockerdSubject } from './dockerd.ts'
import { OciRuntimeSubject } from './oci-runtime.ts'
import { PodmanSubject } from './podman.ts'
import { SpawnSubject } from './spawn.ts'
import { WherrySubject } from './wherry.ts'

/** Every subject by name, in the order of the tables. */
export const kCatalogue: ReadonlyMap<string, (context: SubjectContext) => Subject> = new Map<
  string,
  (context: SubjectContext) => Subject
>([
  ['wherry', (context) => new WherrySubject(context)],
  ['spawn', (context) => new SpawnSubject(context)],
  ['bwrap', (context) => new BubblewrapSubject(context)],
  ['crun', (context) => new OciRuntimeSubject('crun', context)],
  ['runc', (context) => new OciRuntimeSubject('runc', context)],
  ['podman', (context) => new PodmanSubject(context)],
  ['dockerd', (context) => new DockerdSubject(context)],
])
