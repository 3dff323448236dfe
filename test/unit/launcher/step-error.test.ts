// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errnoName, stepError } from '../../../lib/launcher/step-error.ts'
import { nulTerminated } from '../../../lib/plan/encode.ts'
import { type Step, step } from '../../../lib/plan/ops.ts'

const failure = (errno: number, call: string) => ({ section: 1, step: 0, errno, call })

test('says what was to be done, by which call, on what, and the answer', () => {
  const error = stepError(failure(13, 'fsconfig'), step('fsmount', 'mount /proc', [1, 2, 3], ['proc', '/proc']))
  assert.equal(error.message, 'Cannot mount /proc: fsconfig("proc", "/proc") failed with EACCES (permission denied).')
  assert.deepEqual([error.code, error.errno, error.syscall, error.step], ['EACCES', 13, 'fsconfig', 'fsmount'])
})

test('a failure before the first step', () => {
  assert.match(
    stepError(failure(11, 'fork'), undefined).message,
    /^Cannot start the container: fork\(\) failed with EAGAIN/,
  )
})

test('a hint is passed on', () => {
  assert.equal(stepError(failure(1, 'mount'), step('pivot_root', 'enter the root'), 'do this').hint, 'do this')
})

test('arguments, environments, files, filters and maps stay out of messages', () => {
  const secret = 'hunter2'
  const bytes = nulTerminated([secret])
  const steps: Step[] = [
    step('exec', 'run tool', [], ['tool', bytes, bytes, '/bin']),
    step('write_file', 'write /etc/x', [0, 0, 0], ['etc/x', secret]),
    step('sysctl', 'set the kernel parameter a', [], ['a', secret]),
    step('seccomp', 'install the system call filter', [0], [bytes]),
    step('clone', 'create the namespaces', [0, -1], [secret, secret, '']),
  ]
  for (const each of steps) {
    const { message } = stepError(failure(22, 'call'), each)
    assert.ok(!message.includes(secret), message)
    assert.ok(message.startsWith(`Cannot ${each.intent}: call(`), message)
  }
  assert.match(stepError(failure(2, 'execve'), steps[0]).message, /execve\("tool"\)/)
})

test('an overlay of many layers does not fill the screen', () => {
  const layers = Array.from({ length: 100 }, (_, i) => `0/layers/${i}`)
  const { message } = stepError(
    failure(22, 'fsconfig'),
    step('overlay', 'mount the root', [1, 1, 0, 0], ['root', '0/u', '0/w', nulTerminated(layers)]),
  )
  assert.ok(message.length < 200)
})

test('errno names, also those that Node has none for', () => {
  assert.deepEqual(errnoName(2)[0], 'ENOENT')
  assert.deepEqual(errnoName(8), ['ENOEXEC', 'exec format error'])
  assert.equal(errnoName(9999)[0], 'E9999')
})
