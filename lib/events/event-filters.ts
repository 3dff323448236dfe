// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import { checkList, checkObject } from '../options/checks.ts'
import { hasLabel } from '../options/labels.ts'
import type { EngineEvent, EventType } from './event.ts'

/** Which events to tell; all that is given must fit. Lists are alternatives, but for labels. */
export interface EventFilters {
  type?: EventType | readonly EventType[] | undefined
  /** Such as `'die'`. */
  action?: string | readonly string[] | undefined
  /** Name or id of a container, or the start of its id. */
  container?: string | readonly string[] | undefined
  /** Name or id of an image, of itself or of its containers. */
  image?: string | readonly string[] | undefined
  /** Name of a volume. */
  volume?: string | readonly string[] | undefined
  /** `key` or `key=value`; of several, all must fit. */
  label?: string | readonly string[] | undefined
}

const kNames = ['type', 'action', 'container', 'image', 'volume', 'label'] as const
const kTypes: readonly EventType[] = ['container', 'image', 'volume']

/** @returns whether an event fits. @throws {InvalidOptionError} */
export function checkEventFilters(filters: EventFilters | undefined): (event: EngineEvent) => boolean {
  if (filters === undefined) return () => true
  checkObject('filters', filters, kNames)
  const wanted = Object.fromEntries(
    kNames.map((name) => [name, checkList(`filters.${name}`, filters[name])]),
  ) as Record<(typeof kNames)[number], string[]>
  for (const type of wanted.type) {
    if (!kTypes.includes(type as EventType)) {
      throw new InvalidOptionError('filters.type', `one of ${kTypes.join(', ')}`, type)
    }
  }
  return (event) =>
    (wanted.type.length === 0 || wanted.type.includes(event.type)) &&
    (wanted.action.length === 0 || wanted.action.includes(event.action)) &&
    isOneOf(wanted.container, (text) => event.type === 'container' && isNamed(event, text)) &&
    isOneOf(wanted.image, (text) => isOfImage(event, text)) &&
    isOneOf(wanted.volume, (text) => event.type === 'volume' && event.name === text) &&
    wanted.label.every((label) => hasLabel(event.attributes, label))
}

function isOneOf(wanted: readonly string[], fits: (text: string) => boolean): boolean {
  return wanted.length === 0 || wanted.some(fits)
}

function isNamed({ id, name }: EngineEvent, text: string): boolean {
  return text !== '' && (name === text || id.startsWith(text) || id.replace(/^\w+:/, '').startsWith(text))
}

function isOfImage(event: EngineEvent, text: string): boolean {
  return event.type === 'image' ? isNamed(event, text) : event.attributes.image === text
}
