// SPDX-License-Identifier: MIT
// What the tests of the command line share: the compiled command, run as a person runs it.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { execPath } from 'node:process'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type ChildResult, type RunOptions, runChild } from '../helpers/run-child.ts'
import { until } from '../helpers/until.ts'
import { tempDir } from './image-fixtures.ts'
import { makeRootfsDir, packRootfs } from './rootfs.ts'

const kMain = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))

/** The command with a state directory of its own. */
export class CommandLine {
  readonly dir: string
  readonly env: NodeJS.ProcessEnv

  constructor(dir: string) {
    this.dir = dir
    // Credentials of the person who runs the tests are none of ours.
    this.env = {
      ...process.env,
      DOCKER_CONFIG: join(dir, 'docker'),
      REGISTRY_AUTH_FILE: join(dir, 'auth.json'),
      WHERRY_DEBUG: '',
    }
  }

  static async open(t: TestContext): Promise<CommandLine> {
    return new CommandLine(await tempDir(t))
  }

  get root(): string {
    return join(this.dir, 'root')
  }

  /** Words that start the command, for whoever starts it otherwise. */
  words(...args: string[]): string[] {
    return [execPath, kMain, '--root', this.root, ...args]
  }

  /** Runs the command to its end. */
  run(args: readonly string[], options: RunOptions = {}): Promise<ChildResult> {
    return this.bare(['--root', this.root, ...args], options)
  }

  /** Runs the command without a state directory. */
  bare(args: readonly string[], options: RunOptions = {}): Promise<ChildResult> {
    return runChild(execPath, [kMain, ...args], { cwd: this.dir, env: this.env, ...options })
  }

  /** Runs the command, which must succeed. @returns its standard output */
  async ok(...args: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(args)
    assert.equal(exitCode, 0, `wherry ${args.join(' ')}: ${stderr}`)
    return stdout
  }

  async json<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.ok(...args)) as T
  }

  /** Runs the command, which must fail in the given way, without a stack and with nothing on standard output. */
  async fails(args: readonly string[], exitCode: number, message: RegExp): Promise<void> {
    const result = await this.run(args)
    assert.match(result.stderr, message)
    assert.equal(result.exitCode, exitCode, result.stderr)
    assert.doesNotMatch(result.stderr, /^\s+at /m)
    assert.equal(result.stdout, '')
  }

  /** Starts the command; it is gone after the test. */
  start(t: TestContext, ...args: string[]): Started {
    return this.#start(t, this.words(...args))
  }

  /** The same without a state directory. */
  startBare(t: TestContext, ...args: string[]): Started {
    return this.#start(t, [execPath, kMain, ...args])
  }

  #start(t: TestContext, words: readonly string[]): Started {
    const started = new Started(words, this.dir, this.env)
    t.after(() => started.kill())
    return started
  }

  /** Imports the root file system of the tests of containers as `test:latest`. */
  async importTestImage(): Promise<void> {
    const tar = packRootfs(await makeRootfsDir(join(this.dir, 'rootfs')), join(this.dir, 'rootfs.tar'))
    await this.ok('import', '--quiet', tar, 'test', '--change', 'CMD ["/probe", "echo", "from Cmd"]')
  }
}

/** The command with a state directory of its own and the test image in it; containers are gone after the test. */
export async function openForContainers(t: TestContext): Promise<CommandLine> {
  let cli: CommandLine | undefined
  // Before the directory goes, which is removed by a later hook.
  t.after(async () => {
    const ids = ((await cli?.ok('ps', '-aq')) ?? '').split('\n').filter(Boolean)
    if (ids.length > 0) await cli?.ok('rm', '-f', ...ids)
  })
  cli = await CommandLine.open(t)
  await cli.importTestImage()
  return cli
}

/** A command that runs. */
export class Started {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''
  readonly #closed: Promise<number | null>

  constructor(words: readonly string[], cwd: string, env: NodeJS.ProcessEnv) {
    const [command = '', ...args] = words
    this.child = spawn(command, args, { cwd, env, stdio: 'pipe' })
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += String(chunk)
    })
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += String(chunk)
    })
    this.#closed = new Promise((resolve) => this.child.once('close', resolve))
  }

  /** Waits until standard output has something. */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    await until(() => pattern.test(this.stdout) || this.child.exitCode !== null, `${pattern} on standard output`)
    const match = pattern.exec(this.stdout)
    assert.ok(match, `${this.stdout}${this.stderr}`)
    return match
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name)
  }

  /** @returns the exit code, when all output is here; `null` after a signal that ended it. */
  end(): Promise<number | null> {
    return this.#closed
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.#closed
  }
}
