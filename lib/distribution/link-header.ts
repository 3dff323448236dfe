const kMaxHeaderLength = 16 * 1024

/**
 * Finds the target of `rel="next"` in `Link` headers, as it stands there (often relative).
 *
 * @source https://www.rfc-editor.org/rfc/rfc8288.html#section-3
 */
export function nextLink(headers: string | readonly string[] | undefined): string | undefined {
  const list = headers === undefined ? [] : typeof headers === 'string' ? [headers] : headers
  for (const header of list) {
    const links = header
      .slice(0, kMaxHeaderLength)
      .matchAll(/<([^<>]*)>((?:\s*;\s*[\w*-]+(?:\s*=\s*(?:"[^"]*"|[^\s",;]+))?)*)/g)
    for (const [, target, parameters] of links) {
      const relation = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s",;]+))/i.exec(parameters ?? '')
      const names = (relation?.[1] ?? relation?.[2] ?? '').toLowerCase().split(/\s+/)
      if (names.includes('next')) return target
    }
  }
  return undefined
}
