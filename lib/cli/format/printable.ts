// SPDX-License-Identifier: MIT

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const kControl = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

/** Text from elsewhere on one line of a terminal: what would move the cursor or turn the text round is shown as an escape. */
export function printable(text: string): string {
  return text.replace(kControl, (character) => {
    if (character === '\t' || character === '\n' || character === '\r') return ' '
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/** The same for text of several lines. */
export function printableLines(text: string): string {
  return text
    .split('\n')
    .map((line) => printable(line))
    .join('\n')
}

/** JSON that is the same to a program, and moves nothing on a terminal: JSON itself lets most of those characters through. */
export function printableJson(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, undefined, indent)
  // JSON's own line ends stand between values; in texts they are escaped already.
  return text.replace(kControl, (character) =>
    character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Shortens to `length` characters, the last of them `…`. */
export function truncate(text: string, length: number): string {
  const characters = [...text]
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}…`
}
