// SPDX-License-Identifier: MIT

const kNone = '<none>'
const kShortId = 12

/** A canonical reference in the columns of a table. */
export interface NameParts {
  /** Without what Docker leaves out: `alpine` for `docker.io/library/alpine`. */
  readonly repository: string
  readonly tag: string
  readonly digest: string
}

/** Takes a canonical reference apart, such as `docker.io/library/alpine:3.20` or `ghcr.io/o/r@sha256:…`. */
export function splitName(reference: string): NameParts {
  const at = reference.indexOf('@')
  const named = at < 0 ? reference : reference.slice(0, at)
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1)
  return {
    repository: shortName(colon < 0 ? named : named.slice(0, colon)),
    tag: colon < 0 ? kNone : named.slice(colon + 1),
    digest: at < 0 ? kNone : reference.slice(at + 1),
  }
}

/** What stands in a table for an image without name. */
export const kNameless: NameParts = { repository: kNone, tag: kNone, digest: kNone }

/** Leaves out what Docker adds. */
export function shortName(reference: string): string {
  return /^docker\.io\/library\/[^/]+$/.test(reference)
    ? reference.slice('docker.io/library/'.length)
    : reference.replace(/^docker\.io\//, '')
}

/** The canonical form of a name among those that an image has; the name itself where it is not among them. */
export function canonicalName(name: string, tags: readonly string[]): string {
  const prefixes = ['', 'docker.io/', 'docker.io/library/']
  const wanted = [name, `${name}:latest`].flatMap((text) => prefixes.map((prefix) => prefix + text))
  return wanted.find((text) => tags.includes(text)) ?? name
}

/** The first digits of a digest, without its algorithm. */
export function shortId(id: string): string {
  return id.replace(/^[a-z0-9]+:/, '').slice(0, kShortId)
}
