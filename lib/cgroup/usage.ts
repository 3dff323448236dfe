// SPDX-License-Identifier: MIT
import { parseFlatKeyed, readNumber } from './cgroup.ts'
import { readCgroupFile } from './cgroup-fs.ts'

/** What a running container uses right now, and may use. `null` where the host's controllers do not tell, or there is no limit. */
export interface CgroupUsage {
  readonly cpuMicros: number | null
  readonly memoryBytes: number | null
  /** Of these, what holds copies of files that nobody has used lately. */
  readonly inactiveFileBytes: number | null
  readonly memoryLimitBytes: number | null
  readonly pids: number | null
  readonly pidsLimit: number | null
  /** From and to block devices. */
  readonly readBytes: number | null
  readonly writtenBytes: number | null
}

type Io = Pick<CgroupUsage, 'readBytes' | 'writtenBytes'>

/** No limit: the kernel rounds the largest number down to whole pages. */
const kUnlimited = 2 ** 60
const kNoIo: Io = { readBytes: null, writtenBytes: null }

/** @param fileOf - path of a controller's file; `undefined` where there is no such controller */
export async function readUsageV1(
  fileOf: (controller: string, name: string) => string | undefined,
): Promise<Omit<CgroupUsage, 'cpuMicros'>> {
  const read = async (controller: string, name: string): Promise<string | undefined> => {
    const path = fileOf(controller, name)
    return path === undefined ? undefined : await readCgroupFile(path)
  }
  const [memoryBytes, stat, limit, pids, pidsLimit, io, flatIo] = await Promise.all([
    readNumber(fileOf('memory', 'memory.usage_in_bytes')),
    read('memory', 'memory.stat'),
    readNumber(fileOf('memory', 'memory.limit_in_bytes')),
    readNumber(fileOf('pids', 'pids.current')),
    read('pids', 'pids.max'),
    read('blkio', 'blkio.throttle.io_service_bytes_recursive'),
    read('blkio', 'blkio.throttle.io_service_bytes'),
  ])
  return {
    memoryBytes,
    inactiveFileBytes: parseFlatKeyed(stat).get('total_inactive_file') ?? null,
    memoryLimitBytes: limit === null || limit >= kUnlimited ? null : limit,
    pids,
    pidsLimit: limitOf(pidsLimit),
    ...parseIoV1(io ?? flatIo),
  }
}

export async function readUsageV2(dir: string): Promise<Omit<CgroupUsage, 'cpuMicros'>> {
  const [memoryBytes, stat, limit, pids, pidsLimit, io] = await Promise.all([
    readNumber(`${dir}/memory.current`),
    readCgroupFile(`${dir}/memory.stat`),
    readCgroupFile(`${dir}/memory.max`),
    readNumber(`${dir}/pids.current`),
    readCgroupFile(`${dir}/pids.max`),
    readCgroupFile(`${dir}/io.stat`),
  ])
  return {
    memoryBytes,
    inactiveFileBytes: parseFlatKeyed(stat).get('inactive_file') ?? null,
    memoryLimitBytes: limitOf(limit),
    pids,
    pidsLimit: limitOf(pidsLimit),
    ...parseIoV2(io),
  }
}

function limitOf(text: string | undefined): number | null {
  return text === undefined || text.trim() === 'max' ? null : Number(text)
}

/** Lines such as `8:0 Read 4096`. */
function parseIoV1(text: string | undefined): Io {
  if (text === undefined) return kNoIo
  const sum = (operation: string): number =>
    [...text.matchAll(new RegExp(`^\\d+:\\d+ ${operation} (\\d+)$`, 'gm'))].reduce((all, [, n]) => all + Number(n), 0)
  return { readBytes: sum('Read'), writtenBytes: sum('Write') }
}

/** Lines such as `8:0 rbytes=4096 wbytes=0 rios=1 …`. */
function parseIoV2(text: string | undefined): Io {
  if (text === undefined) return kNoIo
  const sum = (key: string): number =>
    [...text.matchAll(new RegExp(` ${key}=(\\d+)`, 'g'))].reduce((all, [, n]) => all + Number(n), 0)
  return { readBytes: sum('rbytes'), writtenBytes: sum('wbytes') }
}
