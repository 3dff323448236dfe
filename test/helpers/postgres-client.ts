// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { ByteReader } from './byte-reader.ts'

const kProtocolVersion = 0x3_0000
const kAuthentication = { ok: 0, sasl: 10, saslContinue: 11, saslFinal: 12 }

interface Message {
  type: string
  body: Buffer
}

/** Speaks PostgreSQL's protocol 3.0 over a socket: a password by SCRAM-SHA-256, and simple queries. */
export class PostgresClient {
  readonly #socket: Duplex
  readonly #reader: ByteReader

  private constructor(socket: Duplex) {
    this.#socket = socket
    this.#reader = new ByteReader(socket)
  }

  static async connect(socket: Duplex, user: string, password: string, database: string): Promise<PostgresClient> {
    const client = new PostgresClient(socket)
    const version = Buffer.alloc(4)
    version.writeInt32BE(kProtocolVersion)
    client.#send('', version, Buffer.from(`user\0${user}\0database\0${database}\0\0`))
    await client.#authenticate(password)
    await client.#untilReady()
    return client
  }

  /** @returns the columns of each row, as text. */
  async query(sql: string): Promise<(string | null)[][]> {
    this.#send('Q', Buffer.from(`${sql}\0`))
    return (await this.#untilReady()).filter(({ type }) => type === 'D').map(({ body }) => columnsOf(body))
  }

  end(): void {
    this.#send('X')
    this.#socket.end()
  }

  /** @source RFC 5802, section 3; PostgreSQL's documentation, "SASL Authentication" */
  async #authenticate(password: string): Promise<void> {
    const mechanisms = await this.#challenge(kAuthentication.sasl)
    assert.ok(mechanisms.split('\0').includes('SCRAM-SHA-256'), mechanisms)
    const bare = `n=,r=${randomBytes(18).toString('base64')}`
    const first = Buffer.from(`n,,${bare}`)
    const length = Buffer.alloc(4)
    length.writeInt32BE(first.length)
    this.#send('p', Buffer.from('SCRAM-SHA-256\0'), length, first)

    const challenge = await this.#challenge(kAuthentication.saslContinue)
    const { r: nonce = '', s: salt = '', i: count = '' } = attributesOf(challenge)
    const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(count), 32, 'sha256')
    const withoutProof = `c=biws,r=${nonce}`
    const messages = `${bare},${challenge},${withoutProof}`
    const key = hmac(salted, 'Client Key')
    const signature = hmac(createHash('sha256').update(key).digest(), messages)
    const proof = key.map((byte, i) => byte ^ (signature[i] ?? 0))
    this.#send('p', Buffer.from(`${withoutProof},p=${Buffer.from(proof).toString('base64')}`))

    const { v } = attributesOf(await this.#challenge(kAuthentication.saslFinal))
    assert.equal(v, hmac(hmac(salted, 'Server Key'), messages).toString('base64'), 'the server knows the password')
    await this.#challenge(kAuthentication.ok)
  }

  /** The data of an authentication request of the expected kind. */
  async #challenge(expected: number): Promise<string> {
    const { type, body } = await this.#message()
    assert.deepEqual([type, body.readInt32BE(0)], ['R', expected])
    return body.toString('utf8', 4)
  }

  async #untilReady(): Promise<Message[]> {
    const messages: Message[] = []
    for (let message = await this.#message(); message.type !== 'Z'; message = await this.#message())
      messages.push(message)
    return messages
  }

  async #message(): Promise<Message> {
    const head = await this.#reader.take(5)
    const body = await this.#reader.take(head.readInt32BE(1) - 4)
    const type = head.toString('latin1', 0, 1)
    if (type === 'E') throw new Error(`PostgreSQL answered ${body.toString().replaceAll('\0', ' ')}`)
    return { type, body }
  }

  #send(type: string, ...parts: readonly Buffer[]): void {
    const body = Buffer.concat(parts)
    const length = Buffer.alloc(4)
    length.writeInt32BE(body.length + 4)
    this.#socket.write(Buffer.concat([Buffer.from(type), length, body]))
  }
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

/** `r=…,s=…,i=…` */
function attributesOf(text: string): Record<string, string> {
  return Object.fromEntries(text.split(',').map((part) => [part.slice(0, 1), part.slice(2)]))
}

function columnsOf(row: Buffer): (string | null)[] {
  let offset = 2
  return Array.from({ length: row.readInt16BE(0) }, () => {
    const length = row.readInt32BE(offset)
    const start = offset + 4
    offset = start + Math.max(0, length)
    return length < 0 ? null : row.toString('utf8', start, offset)
  })
}
