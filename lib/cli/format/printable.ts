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

/** Shortens to `length` characters, the last of them `…`. */
export function truncate(text: string, length: number): string {
  const characters = [...text]
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}…`
}
