const kBlockBytes = 512

/** One header of an archive to be made, and its body. Everything may be as wrong as a test wishes. */
export interface TarSpec {
  name: string | Buffer
  /** The type flag. @default '0', a file */
  type?: string
  body?: string | Buffer
  /** When it is not the body's. */
  sizeBytes?: number
  mode?: number
  uid?: number
  gid?: number
  /** Seconds. */
  mtime?: number
  linkName?: string | Buffer
  deviceMajor?: number
  deviceMinor?: number
  prefix?: string
  /** Records of a PAX header put before. */
  pax?: Record<string, string | Buffer> | readonly (readonly [string, string | Buffer])[]
  /** @default 'ustar' */
  format?: 'ustar' | 'gnu' | 'v7'
  /** Changes the finished header; the checksum is computed afterwards. */
  edit?: (header: Buffer) => void
}

/** Makes a tar archive. `end: false` leaves the two zero blocks out. */
export function makeTar(entries: readonly TarSpec[], options: { end?: boolean } = {}): Buffer {
  const parts = entries.flatMap(tarMember)
  if (options.end !== false) parts.push(Buffer.alloc(2 * kBlockBytes))
  return Buffer.concat(parts)
}

function tarMember(spec: TarSpec): Buffer[] {
  const parts: Buffer[] = []
  if (spec.pax !== undefined) {
    parts.push(...tarMember({ name: 'PaxHeaders/x', type: 'x', body: paxBody(spec.pax) }))
  }
  const body = Buffer.from(spec.body ?? '')
  parts.push(tarHeader(spec, spec.sizeBytes ?? body.length), body)
  parts.push(Buffer.alloc((kBlockBytes - (body.length % kBlockBytes)) % kBlockBytes))
  return parts
}

/** The records of a PAX header as bytes. */
export function paxBody(records: NonNullable<TarSpec['pax']>): Buffer {
  const pairs = Array.isArray(records) ? records : Object.entries(records)
  return Buffer.concat(
    pairs.map(([key, value]: readonly [string, string | Buffer]) => {
      const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')])
      let length = rest.length + 1
      while (String(length).length + rest.length !== length) length = String(length).length + rest.length
      return Buffer.concat([Buffer.from(String(length)), rest])
    }),
  )
}

function tarHeader(spec: TarSpec, sizeBytes: number): Buffer {
  const header = Buffer.alloc(kBlockBytes)
  Buffer.from(spec.name).copy(header, 0, 0, 100)
  number(header, 100, 8, spec.mode ?? (spec.type === '5' ? 0o755 : 0o644))
  number(header, 108, 8, spec.uid ?? 0)
  number(header, 116, 8, spec.gid ?? 0)
  number(header, 124, 12, sizeBytes)
  number(header, 136, 12, spec.mtime ?? 1_000_000_000)
  header.write(spec.type ?? '0', 156, 'latin1')
  Buffer.from(spec.linkName ?? '').copy(header, 157, 0, 100)
  if (spec.format === 'gnu') header.write('ustar  \0', 257, 'latin1')
  else if (spec.format !== 'v7') header.write('ustar\x0000', 257, 'latin1')
  number(header, 329, 8, spec.deviceMajor ?? 0)
  number(header, 337, 8, spec.deviceMinor ?? 0)
  if (spec.prefix !== undefined) header.write(spec.prefix, 345, 155, 'latin1')
  spec.edit?.(header)
  header.fill(' ', 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return header
}

/** Octal where it fits, else base-256. */
function number(header: Buffer, at: number, length: number, value: number): void {
  if (value >= 0 && value < 8 ** (length - 1)) {
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1')
    return
  }
  let rest = BigInt.asUintN(length * 8, BigInt(value))
  for (let i = at + length - 1; i >= at; i--) {
    header[i] = Number(rest & 0xffn)
    rest >>= 8n
  }
  header[at] = (header[at] as number) | 0x80
}
