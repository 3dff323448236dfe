// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import type { SeccompProfile } from '../oci/seccomp-profile.ts'
import { checkNumber, checkObject, checkPattern, checkString, checkStrings } from './checks.ts'

/**
 * Checks the `seccomp` option. A profile may have members that are not known here, as those of other engines do; what is known
 * must have the right shape, since a rule that is read wrongly could let through what it was to stop.
 */
export function normalizeSeccomp(value: unknown): 'default' | 'unconfined' | SeccompProfile {
  if (value === undefined || value === 'default' || value === 'unconfined') return value ?? 'default'
  if (typeof value === 'string') {
    const hint = 'read a profile file with JSON.parse and pass the object'
    throw new InvalidOptionError('seccomp', "'default', 'unconfined' or a profile object", value, hint)
  }
  const profile = checkObject('seccomp', value)
  checkAction('seccomp.defaultAction', profile.defaultAction)
  checkNumber('seccomp.defaultErrnoRet', profile.defaultErrnoRet, { min: 0, max: 4095, integer: true })
  for (const name of ['architectures', 'flags'] as const) {
    if (isGiven(profile[name])) checkStrings(`seccomp.${name}`, profile[name])
  }
  for (const [index, entry] of checkList('seccomp.archMap', profile.archMap).entries()) {
    const option = `seccomp.archMap[${index}]`
    const { architecture, subArchitectures } = checkObject(option, entry)
    checkString(`${option}.architecture`, architecture)
    if (isGiven(subArchitectures)) checkStrings(`${option}.subArchitectures`, subArchitectures)
  }
  for (const [index, rule] of checkList('seccomp.syscalls', profile.syscalls).entries()) {
    checkRule(`seccomp.syscalls[${index}]`, rule)
  }
  return profile as unknown as SeccompProfile
}

function checkRule(option: string, value: unknown): void {
  const rule = checkObject(option, value)
  if (rule.names === undefined) checkString(`${option}.name`, rule.name)
  else checkStrings(`${option}.names`, rule.names)
  checkAction(`${option}.action`, rule.action)
  checkNumber(`${option}.errnoRet`, rule.errnoRet, { min: 0, max: 4095, integer: true })
  for (const [index, arg] of checkList(`${option}.args`, rule.args).entries()) checkArg(`${option}.args[${index}]`, arg)
  for (const name of ['includes', 'excludes'] as const) {
    if (!isGiven(rule[name])) continue
    const condition = checkObject(`${option}.${name}`, rule[name])
    if (isGiven(condition.caps)) checkStrings(`${option}.${name}.caps`, condition.caps)
    if (isGiven(condition.arches)) checkStrings(`${option}.${name}.arches`, condition.arches)
    if (isGiven(condition.minKernel)) checkString(`${option}.${name}.minKernel`, condition.minKernel)
  }
}

function checkArg(option: string, value: unknown): void {
  const { index, value: wanted, valueTwo, op } = checkObject(option, value)
  if (checkNumber(`${option}.index`, index, { min: 0, max: 5, integer: true }) === null) {
    throw new InvalidOptionError(`${option}.index`, 'an argument index from 0 to 5', index)
  }
  if (checkNumber(`${option}.value`, wanted, { min: 0, integer: true }) === null) {
    throw new InvalidOptionError(`${option}.value`, 'an integer of 0 or more', wanted)
  }
  checkNumber(`${option}.valueTwo`, valueTwo, { min: 0, integer: true })
  checkPattern(`${option}.op`, op, /^SCMP_CMP_(?:NE|LT|LE|EQ|GE|GT|MASKED_EQ)$/, "a comparison such as 'SCMP_CMP_EQ'")
}

function checkAction(option: string, value: unknown): void {
  const pattern = /^SCMP_ACT_(?:KILL|KILL_PROCESS|KILL_THREAD|TRAP|ERRNO|TRACE|ALLOW|LOG)$/
  checkPattern(option, value, pattern, "an action without a listener, such as 'SCMP_ACT_ERRNO'")
}

function checkList(option: string, value: unknown): readonly unknown[] {
  if (!isGiven(value)) return []
  if (!Array.isArray(value)) throw new InvalidOptionError(option, 'an array', value)
  return value
}

/** Go writes absent lists and objects as null. */
function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null
}
