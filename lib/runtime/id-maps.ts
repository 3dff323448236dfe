// SPDX-License-Identifier: MIT
import { userInfo } from 'node:os'
import type { HostFacts } from '../host/facts.ts'
import { readTextFile } from '../host/facts.ts'
import { chooseSubids } from '../host/subid.ts'
import type { IdMap, IdRange } from '../oci/build-spec.ts'
import { hasCommand } from './has-command.ts'

/** How the user namespaces of an engine map ids, and who may write the maps. */
export interface IdMapping {
  map: IdMap
  mode: '' | 'deny' | 'helper'
  /** Only one id is mapped: layers with several owners look as if they all were root's. */
  single: boolean
}

/** Chooses the id map of this engine's containers: the ranges of /etc/subuid, or where there are none just ourselves. */
export async function chooseIdMapping(facts: Pick<HostFacts, 'uid' | 'rootful'>): Promise<IdMapping> {
  const gid = process.getegid?.() ?? facts.uid
  const [subuid = '', subgid = ''] = await Promise.all(['/etc/subuid', '/etc/subgid'].map((path) => readTextFile(path)))
  const choice = chooseSubids({ uid: facts.uid, userName: userName(), subuid, subgid })
  const [uids] = choice.uids
  const [gids] = choice.gids
  if (facts.rootful && uids !== undefined && gids !== undefined) {
    return {
      map: { uids: [range(0, uids.start, uids.count)], gids: [range(0, gids.start, gids.count)] },
      mode: '',
      single: false,
    }
  }
  // Root of a user namespace has no ranges of its own: what is mapped there is all that there is.
  const hasRanges = facts.uid !== 0 && uids !== undefined && gids !== undefined
  if (hasRanges && (await hasCommand('newuidmap')) && (await hasCommand('newgidmap'))) {
    return {
      map: {
        uids: [range(0, facts.uid, 1), range(1, uids.start, uids.count)],
        gids: [range(0, gid, 1), range(1, gids.start, gids.count)],
      },
      mode: 'helper',
      single: false,
    }
  }
  return { map: { uids: [range(0, facts.uid, 1)], gids: [range(0, gid, 1)] }, mode: 'deny', single: true }
}

function range(containerId: number, hostId: number, size: number): IdRange {
  return { containerId, hostId, size }
}

function userName(): string | undefined {
  try {
    return userInfo().username
  } catch {
    return undefined
  }
}
