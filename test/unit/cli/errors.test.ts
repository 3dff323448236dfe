// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CliError, formatError, reportError, signalExitCode } from '../../../lib/cli/errors.ts'
import { NotFoundError, WherryError } from '../../../lib/index.ts'

test('an error is its message, and its hint on a line of its own', () => {
  const error = new WherryError('It failed.', { code: 'ERR_X', hint: 'try again' })
  assert.equal(formatError(error, false), 'wherry: It failed.\nHint: try again\n')
  assert.deepEqual(reportError(error), { code: 'ERR_X', message: 'It failed.', hint: 'try again' })
  assert.equal(formatError(new CliError('No.'), false), 'wherry: No.\n')
  assert.equal(formatError('text', false), 'wherry: text\n')
  assert.equal(formatError(Object.assign(new TypeError('x'), { message: '' }), false), 'wherry: TypeError\n')
})

test('hints that speak of functions speak of commands', () => {
  const error = new NotFoundError('Not here.', 'Image.list() shows what is there; Image.pull() gets an image.')
  assert.match(formatError(error, false), /^wherry: Not here\.\nHint: 'wherry images' shows/)
  const parts = [
    [
      "log in with new Registry('localhost:5000').login({ username, password }), or pass auth",
      "log in with 'wherry login localhost:5000', or give --creds",
    ],
    ['remove its tags one by one, or pass { force: true }', 'remove its tags one by one, or give --force'],
    ['choose a directory of your own with Engine.open({ root })', 'choose a directory of your own with --root'],
    [
      "run as root, or leave out 'memory', or say limits: 'best-effort'.",
      'run as root, or leave out the limit, or give --limits best-effort.',
    ],
  ]
  for (const [library, here] of parts)
    assert.equal(reportError(Object.assign(new Error('x'), { hint: library })).hint, here)
})

test('the stack is for those who ask', () => {
  const error = new Error('outer', { cause: new Error('inner') })
  assert.doesNotMatch(formatError(error, false), /at |inner/)
  assert.match(formatError(error, true), /^wherry: outer\nError: outer\n {4}at [\s\S]*inner/)
})

test('words from elsewhere cannot take over the terminal', () => {
  assert.equal(formatError(new Error('a\u001b[31mb'), false), 'wherry: a\\u001b[31mb\n')
})

test('signals are 128 and their number', () => {
  assert.equal(signalExitCode('SIGINT'), 130)
  assert.equal(signalExitCode('SIGKILL'), 137)
  assert.equal(signalExitCode('SIGTERM'), 143)
  assert.equal(signalExitCode('SIG40'), 168)
})
