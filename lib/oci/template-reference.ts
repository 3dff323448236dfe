// SPDX-License-Identifier: MIT
const kRepository = 'localhost/wherry/template'

/** The name of the image that a template consists of. */
export function templateReference(id: string): string {
  return `${kRepository}:${id}`
}

/** Whether a name is one of a template's, which prunes leave alone. */
export function isTemplateReference(reference: string): boolean {
  return reference.startsWith(`${kRepository}:`)
}
