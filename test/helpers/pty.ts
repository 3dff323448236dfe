// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import type { TestContext } from 'node:test'
import { until } from './until.ts'

/** Gives a command a terminal of its own; lines of JSON on standard input type into it or change its size. */
const DRIVER = `
import fcntl, json, os, pty, select, struct, sys, termios
def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
rows, columns = int(sys.argv[1]), int(sys.argv[2])
pid, fd = pty.fork()
if pid == 0:
    resize(0, rows, columns)
    os.execvp(sys.argv[3], sys.argv[3:])
inputs = [fd, 0]
pending = b''
while True:
    ready = select.select(inputs, [], [])[0]
    if fd in ready:
        try:
            data = os.read(fd, 65536)
        except OSError:
            data = b''
        if not data:
            break
        os.write(1, data)
    if 0 in ready:
        data = os.read(0, 65536)
        if not data:
            inputs.remove(0)
        *lines, pending = (pending + data).split(b'\\n')
        for line in lines:
            order = json.loads(line)
            if 'text' in order:
                os.write(fd, order['text'].encode())
            else:
                resize(fd, order['rows'], order['columns'])
status = os.waitpid(pid, 0)[1]
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
`

/** A command on a terminal. Needs `command:python3`. */
export class PtySession {
  readonly #child: ChildProcess
  readonly #ended: Promise<number | null>
  #output = ''

  private constructor(child: ChildProcess) {
    this.#child = child
    child.stdout?.on('data', (chunk: Buffer) => {
      this.#output += String(chunk)
    })
    this.#ended = new Promise((resolve) => child.once('close', resolve))
  }

  /** Starts a command on a terminal of 24 rows and 80 columns; both are gone after the test. */
  static start(t: TestContext, command: readonly string[], env: NodeJS.ProcessEnv = process.env): PtySession {
    const args = ['-c', DRIVER, '24', '80', ...command]
    const child = spawn('python3', args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...env, TERM: 'xterm' } })
    const session = new PtySession(child)
    t.after(async () => {
      child.kill('SIGKILL')
      await session.#ended
    })
    return session
  }

  /** Everything that was written to the terminal so far. */
  get output(): string {
    return this.#output
  }

  type(text: string): void {
    this.#child.stdin?.write(`${JSON.stringify({ text })}\n`)
  }

  resize(rows: number, columns: number): void {
    this.#child.stdin?.write(`${JSON.stringify({ rows, columns })}\n`)
  }

  /** Waits until the terminal has shown something. */
  async shows(pattern: RegExp, timeoutMs = 60_000): Promise<void> {
    await until(() => pattern.test(this.#output), `${pattern} in the terminal`, timeoutMs).catch(() => {
      assert.match(this.#output, pattern)
    })
  }

  /** Waits for the command's end. @returns its exit code, 128 and more for signals */
  end(): Promise<number | null> {
    return this.#ended
  }
}
