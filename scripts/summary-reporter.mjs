// A node:test reporter that says only how many tests passed and failed.
// biome-ignore lint/style/noDefaultExport: node loads a reporter by its default export
export { summarize as default }

async function* summarize(events) {
  const counts = new Map()
  for await (const { type, data } of events) {
    if (type !== 'test:diagnostic') continue
    const match = /^(pass|fail|skipped|cancelled) (\d+)$/.exec(data.message)
    if (match) counts.set(match[1], Number(match[2]))
  }
  const failed = (counts.get('fail') ?? 0) + (counts.get('cancelled') ?? 0)
  yield `${counts.get('pass') ?? 0} passed, ${failed} failed, ${counts.get('skipped') ?? 0} skipped\n`
}
