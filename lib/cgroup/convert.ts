// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'

/** Length of the period in which a CPU quota is counted, in microseconds. The kernel's own default. */
export const kCpuPeriodMicros = 100_000

/** The kernel refuses a quota below one millisecond. */
const kMinQuotaMicros = 1_000

/** A CPU quota as the OCI configuration has it; both in microseconds. */
export interface CpuQuota {
  quota: number
  period: number
}

/**
 * Converts a number of CPUs (`0.5` is half of one) to a quota.
 *
 * @throws {InvalidOptionError} for less than 0.01 CPU, which no kernel accepts
 */
export function cpuQuotaOf(cpus: number): CpuQuota {
  const quota = Math.round(cpus * kCpuPeriodMicros)
  if (!(quota >= kMinQuotaMicros)) throw new InvalidOptionError('cpus', 'a number of CPUs of at least 0.01', cpus)
  return { quota, period: kCpuPeriodMicros }
}

/**
 * Converts v1 `cpu.shares` (2 to 262144, default 1024) to v2 `cpu.weight` (1 to 10000, default 100) such that both ends and
 * the default meet.
 *
 * @source https://github.com/opencontainers/cgroups/pull/20
 */
export function cpuWeightOf(shares: number): number {
  if (shares <= 2) return 1
  if (shares >= 262_144) return 10_000
  const log = Math.log2(shares)
  const exponent = (log * log + 125 * log) / 612 - 7 / 34
  // Floating point leaves 100.00000000000003 for the default, which must not become 101.
  return Math.ceil(10 ** exponent - 1e-9)
}

/** Converts an OCI block I/O weight (10 to 1000) to v2 `io.weight` (1 to 10000), in a straight line between the ends. */
export function ioWeightOf(weight: number): number {
  return Math.floor(1 + ((weight - 10) * 9_999) / 990)
}

/**
 * Swap alone, for v2, from the standard's memory plus swap.
 *
 * @returns what `memory.swap.max` wants, `undefined` to leave it as it is
 * @throws {InvalidOptionError} for memory plus swap without memory, or below it
 */
export function swapMaxOf(limit: number | undefined, memorySwap: number | undefined): string | undefined {
  if (memorySwap === undefined || memorySwap === 0) return limit === -1 ? 'max' : undefined
  if (memorySwap < 0) return 'max'
  if (limit === undefined || limit <= 0) throw new InvalidOptionError('memorySwap', "to come with 'memory'", memorySwap)
  if (memorySwap < limit) {
    throw new InvalidOptionError('memorySwap', `memory plus swap, so no less than 'memory' (${limit})`, memorySwap)
  }
  return String(memorySwap - limit)
}
