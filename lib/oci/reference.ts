import { InvalidReferenceError } from '../errors.ts'
import { type Digest, isDigest, parseDigest } from './digest.ts'

const kDefaultDomain = 'docker.io'
const kMaxNameLength = 255
const kMaxReferenceLength = 1024
const kDomainPattern =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?$/
const kComponentPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const kTagPattern = /^[\w][\w.-]{0,127}$/

/**
 * Name of an image: registry, repository and a tag or digest (or both), as Docker reads it.
 *
 * `alpine` is `docker.io/library/alpine:latest`; the first component is a registry when it has a dot, a port, an upper-case
 * letter, or is `localhost`. Values are immutable; {@link Reference.toString} gives a text that parses to an equal value.
 *
 * @source https://github.com/distribution/reference/blob/v0.6.0/reference.go
 */
export class Reference {
  /** Registry host, with its port when it has one, such as `docker.io` or `localhost:5000`. */
  readonly domain: string
  /** Repository inside the registry, such as `library/alpine`. */
  readonly path: string
  readonly tag: string | undefined
  readonly digest: Digest | undefined

  private constructor(domain: string, path: string, tag: string | undefined, digest: Digest | undefined) {
    this.domain = domain
    this.path = path
    this.tag = tag
    this.digest = digest
  }

  /**
   * Parses what a person writes, with Docker's defaults: registry `docker.io`, `library/` before a single name, and tag
   * `latest` where there is neither tag nor digest.
   *
   * @throws {InvalidReferenceError} whose `position` is the offset of the first part that does not fit.
   */
  static parse(text: string): Reference {
    if (text === '') throw new InvalidReferenceError(text, 0, 'it is empty')
    if (text.length > kMaxReferenceLength) {
      throw new InvalidReferenceError(text.slice(0, 80), kMaxReferenceLength, 'it is longer than 1024 characters')
    }
    if (isDigest(text) || /^[0-9a-f]{64}$/.test(text)) {
      throw new InvalidReferenceError(text, 0, 'it is a bare digest; a repository name must come before it')
    }
    const { name, tag, digest } = splitTail(text)
    const { domain, path, pathOffset } = splitDomain(name)
    checkDomain(text, domain)
    checkPath(text, path, pathOffset)
    const fullPath = domain === kDefaultDomain && !path.includes('/') ? `library/${path}` : path
    if (domain.length + 1 + fullPath.length > kMaxNameLength) {
      throw new InvalidReferenceError(
        text,
        kMaxNameLength,
        `the repository name is longer than ${kMaxNameLength} characters`,
      )
    }
    return new Reference(domain, fullPath, tag ?? (digest === undefined ? 'latest' : undefined), digest)
  }

  /** The name without tag and digest: `docker.io/library/alpine`. */
  get name(): string {
    return `${this.domain}/${this.path}`
  }

  /** The canonical text, with registry and `library/` spelt out. */
  toString(): string {
    const tag = this.tag === undefined ? '' : `:${this.tag}`
    const digest = this.digest === undefined ? '' : `@${this.digest}`
    return `${this.name}${tag}${digest}`
  }

  /** The text a person would write: Docker's defaults left out, except the tag. */
  toShortString(): string {
    if (this.domain !== kDefaultDomain) return this.toString()
    const official = this.path.startsWith('library/') && !this.path.slice('library/'.length).includes('/')
    return this.toString().slice(kDefaultDomain.length + 1 + (official ? 'library/'.length : 0))
  }

  toJSON(): string {
    return this.toString()
  }

  equals(other: Reference): boolean {
    return this.toString() === other.toString()
  }

  /** The same repository under another tag, without digest. */
  withTag(tag: string): Reference {
    if (!kTagPattern.test(tag)) throw new InvalidReferenceError(tag, 0, 'the tag has a character that is not allowed')
    return new Reference(this.domain, this.path, tag, undefined)
  }

  /** The same repository at a digest, without tag. */
  withDigest(digest: Digest): Reference {
    return new Reference(this.domain, this.path, undefined, digest)
  }
}

/** Tells whether `text` can name a repository inside a registry, such as `library/alpine`. */
export function isRepositoryPath(text: string): boolean {
  return text.length <= kMaxNameLength && text.split('/').every((component) => kComponentPattern.test(component))
}

/** Tells whether `text` can be a tag. */
export function isTag(text: string): boolean {
  return kTagPattern.test(text)
}

function splitTail(text: string): { name: string; tag: string | undefined; digest: Digest | undefined } {
  const at = text.indexOf('@')
  const digest = at === -1 ? undefined : parseTailDigest(text, at)
  const head = at === -1 ? text : text.slice(0, at)
  // A colon before the last slash belongs to a registry's port.
  const colon = head.indexOf(':', head.lastIndexOf('/') + 1)
  if (colon === -1) return { name: head, tag: undefined, digest }
  const tag = head.slice(colon + 1)
  if (!kTagPattern.test(tag)) {
    const bad = tag.slice(0, 128).search(/[^\w.-]/)
    const reason =
      tag === ''
        ? 'the tag is empty'
        : 'a tag has 1 to 128 of the characters A-Z a-z 0-9 _ . - and starts with none of . -'
    throw new InvalidReferenceError(text, colon + 1 + Math.max(bad, 0), reason)
  }
  return { name: head.slice(0, colon), tag, digest }
}

function parseTailDigest(text: string, at: number): Digest {
  try {
    return parseDigest(text.slice(at + 1))
  } catch (error) {
    if (!(error instanceof InvalidReferenceError)) throw error
    const reason = error.message.slice(error.message.indexOf(': ') + 2).replace(/\.$/, '')
    throw new InvalidReferenceError(text, at + 1 + error.position, reason)
  }
}

function splitDomain(name: string): { domain: string; path: string; pathOffset: number } {
  const slash = name.indexOf('/')
  const first = slash === -1 ? '' : name.slice(0, slash)
  const isDomain = /[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first
  if (!isDomain) return { domain: kDefaultDomain, path: name, pathOffset: 0 }
  const domain = first === 'index.docker.io' ? kDefaultDomain : first
  return { domain, path: name.slice(slash + 1), pathOffset: slash + 1 }
}

function checkDomain(text: string, domain: string): void {
  if (!kDomainPattern.test(domain)) {
    throw new InvalidReferenceError(text, 0, `${JSON.stringify(domain)} is not a registry host with an optional port`)
  }
}

function checkPath(text: string, path: string, offset: number): void {
  let position = offset
  for (const component of path.split('/')) {
    if (!kComponentPattern.test(component)) throw new InvalidReferenceError(text, position, componentFault(component))
    position += component.length + 1
  }
}

function componentFault(component: string): string {
  if (component === '') return 'a repository name has an empty part'
  if (/[A-Z]/.test(component)) return 'a repository name must be lower case'
  return `${JSON.stringify(component)} must be a-z and 0-9, with single separators . _ __ or - between them`
}
