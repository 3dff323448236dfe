// SPDX-License-Identifier: MIT

/** Whether one of some labels is the wanted one: `key`, whatever its value, or `key=value`. */
export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf('=')
  const key = equals < 0 ? wanted : wanted.slice(0, equals)
  return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === wanted.slice(equals + 1))
}
