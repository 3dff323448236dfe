// SPDX-License-Identifier: MIT

/** Where a socket leads, inside of a container. */
export type SocketAddress =
  | { readonly family: 4 | 6; readonly host: string; readonly port: number }
  | { readonly path: string }

/** A socket to be made. */
export interface SocketRequest {
  readonly op: 'connect' | 'bind'
  readonly address: SocketAddress
  /** @default a stream */
  readonly isDatagram?: boolean
  /** Connections that may wait to be accepted. */
  readonly backlog?: number
}

/** What became of it. */
export interface SocketReply {
  readonly id: number
  /** 0: the message has a descriptor. */
  readonly errno: number
  readonly call: string
}

/** Longest path of a socket (unix(7)). */
export const kMaxSocketPathBytes = 107

const kOp = { connect: 1, bind: 2, cancel: 3 } as const
const kUnix = 1
const kRequestBytes = 28
const kReplyBytes = 24

/** Puts a request into the bytes of native/socket_protocol.h's SocketRequest. */
export function encodeSocketRequest(id: number, { op, address, isDatagram, backlog }: SocketRequest): Uint8Array {
  const text = Buffer.from('path' in address ? address.path : address.host)
  const bytes = encode(id, kOp[op], text.length)
  bytes.writeUInt32LE('path' in address ? kUnix : address.family, 8)
  bytes.writeUInt32LE(isDatagram === true ? 1 : 0, 12)
  bytes.writeUInt32LE('path' in address ? 0 : address.port, 16)
  bytes.writeUInt32LE(backlog ?? 0, 20)
  bytes.set(text, kRequestBytes)
  return bytes
}

/** The request to give up another one. */
export function encodeSocketCancel(id: number): Uint8Array {
  return encode(id, kOp.cancel, 0)
}

function encode(id: number, op: number, textBytes: number): Buffer {
  const bytes = Buffer.alloc(kRequestBytes + textBytes)
  bytes.writeUInt32LE(id, 0)
  bytes.writeUInt32LE(op, 4)
  bytes.writeUInt32LE(textBytes, 24)
  return bytes
}

/** Reads native/socket_protocol.h's SocketReply. */
export function parseSocketReply(bytes: Buffer): SocketReply | undefined {
  if (bytes.length !== kReplyBytes) return undefined
  const call = bytes.toString('latin1', 8, bytes.indexOf(0, 8))
  return { id: bytes.readUInt32LE(0), errno: bytes.readInt32LE(4), call }
}
