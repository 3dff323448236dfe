// SPDX-License-Identifier: MIT

const kByteUnits = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const

/** Bytes for people, in powers of 1000 and three digits as Docker has them: `7.83MB`. */
export function humanSize(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < kByteUnits.length - 1) {
    value /= 1000
    unit++
  }
  // 999.9 rounds to four digits, which belong to the next unit.
  if (Number(value.toPrecision(3)) >= 1000 && unit < kByteUnits.length - 1) {
    value /= 1000
    unit++
  }
  return `${Number(value.toPrecision(3))}${kByteUnits[unit]}`
}

const kSecond = 1000
const kMinute = 60 * kSecond
const kHour = 60 * kMinute
const kDay = 24 * kHour
const kWeek = 7 * kDay
const kMonth = 30 * kDay
const kYear = 365 * kDay

/** Up to which time, exclusively, a unit is used, largest last. */
const kAgeUnits: readonly { readonly below: number; readonly unit: number; readonly name: string }[] = [
  { below: kMinute, unit: kSecond, name: 'second' },
  { below: kHour, unit: kMinute, name: 'minute' },
  { below: 2 * kDay, unit: kHour, name: 'hour' },
  { below: 2 * kWeek, unit: kDay, name: 'day' },
  { below: 2 * kMonth, unit: kWeek, name: 'week' },
  { below: 2 * kYear, unit: kMonth, name: 'month' },
  { below: Number.POSITIVE_INFINITY, unit: kYear, name: 'year' },
]

/** A time in one unit: `3 days`. */
export function humanDuration(ms: number): string {
  if (ms < kSecond) return 'Less than a second'
  const { unit, name } = kAgeUnits.find(({ below }) => ms < below) ?? { unit: kYear, name: 'year' }
  const count = Math.floor(ms / unit)
  if (count === 1 && name === 'minute') return 'About a minute'
  if (count === 1 && name === 'hour') return 'About an hour'
  return `${count} ${name}${count === 1 ? '' : 's'}`
}

/** How long ago something was, in one unit: `3 days ago`. */
export function humanAge(ageMs: number): string {
  return `${humanDuration(ageMs)} ago`
}

/** The age of an ISO date, which images carry; `N/A` where there is none. */
export function humanSince(created: string | undefined, nowMs: number): string {
  const ms = created === undefined ? Number.NaN : Date.parse(created)
  return Number.isNaN(ms) ? 'N/A' : humanAge(nowMs - ms)
}
