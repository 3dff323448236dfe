// SPDX-License-Identifier: MIT

const kBlockBytes = 512
/** Largest size that eleven octal digits hold: 8 GiB less one byte. */
const kMaxOctalBytes = 8 ** 11 - 1
const kMaxNameBytes = 100

/** One member of an archive that is being written. */
export type TarMember =
  | {
      readonly kind: 'file'
      readonly name: string
      readonly sizeBytes: number
      readonly chunks: AsyncIterable<Uint8Array>
    }
  | { readonly kind: 'directory'; readonly name: string }
  | { readonly kind: 'symlink'; readonly name: string; readonly target: string }

/**
 * Writes a tar, member by member, as a stream of chunks. The same members give the same bytes: times are 0, owners root. A name
 * longer than 100 bytes or a size of 8 GiB and more goes into a PAX header.
 *
 * @throws {RangeError} when a file gives another number of bytes than it said.
 * @source POSIX.1-2024, pax, "ustar Interchange Format" and "pax Interchange Format"
 */
export async function* writeTar(members: AsyncIterable<TarMember>): AsyncGenerator<Uint8Array> {
  for await (const member of members) {
    yield headerOf(member)
    if (member.kind !== 'file') continue
    let bytes = 0
    for await (const chunk of member.chunks) {
      bytes += chunk.byteLength
      yield chunk
    }
    if (bytes !== member.sizeBytes) {
      throw new RangeError(`Member ${member.name} has ${bytes} bytes instead of ${member.sizeBytes}`)
    }
    if (bytes % kBlockBytes !== 0) yield Buffer.alloc(kBlockBytes - (bytes % kBlockBytes))
  }
  yield Buffer.alloc(2 * kBlockBytes)
}

function headerOf(member: TarMember): Buffer {
  const name = member.kind === 'directory' ? `${member.name}/` : member.name
  const sizeBytes = member.kind === 'file' ? member.sizeBytes : 0
  const records: [string, string][] = []
  if (Buffer.byteLength(name) > kMaxNameBytes) records.push(['path', name])
  if (sizeBytes > kMaxOctalBytes) records.push(['size', String(sizeBytes)])
  const link = member.kind === 'symlink' ? member.target : ''
  const type = { file: '0', directory: '5', symlink: '2' }[member.kind]
  const block = header({
    name,
    type,
    link,
    mode: { file: 0o644, directory: 0o755, symlink: 0o777 }[member.kind],
    sizeBytes,
  })
  if (records.length === 0) return block
  const body = Buffer.concat(records.map(paxRecord))
  const padding = Buffer.alloc((kBlockBytes - (body.byteLength % kBlockBytes)) % kBlockBytes)
  const pax = header({ name: 'PaxHeaders/member', type: 'x', link: '', mode: 0o644, sizeBytes: body.byteLength })
  return Buffer.concat([pax, body, padding, block])
}

function header(fields: { name: string; type: string; link: string; mode: number; sizeBytes: number }): Buffer {
  const block = Buffer.alloc(kBlockBytes)
  const octal = (at: number, digits: number, value: number): void => {
    block.write(value.toString(8).padStart(digits, '0'), at, 'latin1')
  }
  Buffer.from(fields.name).copy(block, 0, 0, kMaxNameBytes)
  octal(100, 7, fields.mode)
  octal(108, 7, 0)
  octal(116, 7, 0)
  // A size that does not fit stands in the PAX header, which wins.
  octal(124, 11, Math.min(fields.sizeBytes, kMaxOctalBytes))
  octal(136, 11, 0)
  block.write(fields.type, 156, 'latin1')
  Buffer.from(fields.link).copy(block, 157, 0, kMaxNameBytes)
  block.write('ustar\x0000', 257, 'latin1')
  octal(329, 7, 0)
  octal(337, 7, 0)
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

/** `length key=value\n`, where the length counts itself. */
function paxRecord([key, value]: readonly [string, string]): Buffer {
  const rest = ` ${key}=${value}\n`
  const restBytes = Buffer.byteLength(rest)
  let length = restBytes + 1
  while (String(length).length + restBytes !== length) length = String(length).length + restBytes
  return Buffer.from(`${length}${rest}`)
}
