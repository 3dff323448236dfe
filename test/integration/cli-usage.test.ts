// SPDX-License-Identifier: MIT
// Wrong use of the command line: nothing is touched, the exit codes are Docker's, and the message names what is wrong.
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { packageRoot } from '../helpers/package-root.ts'
import { runChild } from '../helpers/run-child.ts'
import { CommandLine } from './cli-fixtures.ts'

checkLeftovers()

test('helps, and says its version', async (t) => {
  const cli = await CommandLine.open(t)
  const { version } = JSON.parse(await readFile(join(packageRoot(), 'package.json'), 'utf8')) as { version: string }
  assert.equal(await cli.ok('--version'), `${version}\n`)
  assert.match(await cli.ok('version'), new RegExp(`^wherry ${version}\n`))
  const help = await cli.ok('--help')
  const commands =
    'run pull push images rmi tag history inspect save load import search login logout serve-registry ' +
    'create start stop restart kill pause unpause wait ps logs rename rm exec cp diff commit export attach top stats container events volume'
  for (const name of commands.split(' ')) assert.match(help, new RegExp(`^ {2}${name} `, 'm'))
  assert.match(await cli.ok('pull', '-h'), /^Usage: wherry pull \[options\] <image>\n/)
  assert.match((await cli.bare([])).stderr, /^Usage: wherry/)
})

test('output that cannot be written is an error, not a crash', async (t) => {
  const cli = await CommandLine.open(t)
  const full = await runChild('sh', ['-c', '"$@" > /dev/full', 'sh', ...cli.words('version', '--json')], {
    env: cli.env,
  })
  assert.match(full.stderr, /^wherry: Cannot write to standard output: ENOSPC.*\n$/)
  assert.equal(full.exitCode, 1)
  const closed = await runChild('sh', ['-c', '{ "$@"; echo "code $?" >&2; } | :', 'sh', ...cli.words('help')])
  assert.match(closed.stderr, /^code (0|141)\n$/)
})

test('wrong flags and arguments', async (t) => {
  const cli = await CommandLine.open(t)
  const cases: [words: string, exitCode: number, message: RegExp][] = [
    ['pul alpine', 1, /unknown command 'pul'\n\(Did you mean pull\?\)\nSee 'wherry --help'/],
    ['pull', 1, /missing required argument 'image'\nSee 'wherry pull --help'/],
    ['tag a b c', 1, /too many arguments/],
    ['pull --quite alpine', 125, /unknown option '--quite'\n\(Did you mean --quiet\?\)/],
    ['pull --platform', 125, /argument missing/],
    ['pull --root x alpine', 125, /--root goes before the command/],
    ['pull --tls-verify=maybe alpine', 125, /must be true or false/],
    ['pull --creds nobody alpine', 125, /user:password/],
    ['pull UPPER', 1, /Invalid image reference "UPPER".*lower case/],
    ['images --format {{.ID}}', 125, /templates are not supported/],
    ['images --filter nope=1', 125, /no filter 'nope'\.\nHint: filters are reference/],
    ['search --limit many x', 125, /must be a number/],
    ['save --format zip x', 125, /Allowed choices are oci-archive/],
    ['run', 1, /needs an image/],
    ['run --from-host', 1, /needs a command/],
    ['run --hide /etc alpine', 125, /'--hide' needs '--from-host'/],
    ['run --bogus alpine', 125, /unknown option '--bogus'/],
    ['run -d', 1, /needs an image/],
    ['create', 1, /'wherry create' needs an image/],
    ['run -d --timeout 3 alpine', 125, /'--timeout' is not supported for containers in the background/],
    ['run --restart always alpine', 125, /'--restart' needs '-d'/],
    ['run -d --log-opt tag=x alpine', 125, /'--log-opt tag=x' is not supported/],
    ['run --log-opt max-size=1m alpine', 125, /'--log-opt' needs '-d'/],
    ['start -a x y', 125, /there is one container to start/],
    ['attach --sig-proxy perhaps x', 125, /must be true or false/],
    ['stop -t -1 x', 125, /0 or more/],
    ['stop -s HUP x', 125, /Docker's '--signal' is not supported.*wherry kill -s/],
    ['logs --tail some x', 125, /number of lines/],
    ['logs --since yesterday x', 125, /time ago/],
    ['ps --filter health=healthy', 125, /no filter 'health'\.\nHint: filters are status/],
    ['ps --filter name=^x$', 125, /part of the name/],
    ['exec x', 1, /missing required argument 'command'/],
    ['exec -it x sh', 1, /not a terminal/],
    ['exec -dt x sh', 125, /'--detach' goes with neither/],
    ['exec --detach-keys a x sh', 125, /Docker's '--detach-keys' is not supported/],
    ['cp a b', 1, /One side of a copy is in a container/],
    ['cp x:/a y:/b', 1, /between containers is not supported.*\nHint: wherry cp x:\/a - \| wherry cp - y:\/b/],
    ['cp x: b', 1, /not of the form container:path/],
    ['volume prune', 1, /no terminal to ask on/],
    [
      'network ls',
      1,
      /Docker's 'network' is not supported: containers have no network, or with '--network host' the host's\./,
    ],
    ['update --memory 1g x', 1, /Docker's 'update' is not supported: limits are given when a container is made\./],
    ['container port x', 1, /There is no container x\./],
    ['volume create -d nfs x', 125, /Docker's '--driver' is not supported/],
    ['container prune', 1, /no terminal to ask on/],
    ['run -P alpine', 125, /Docker's '--publish-all' is not supported/],
    ['run -d -p 80:80 alpine', 125, /'--publish' is not supported for containers in the background/],
    ['run --network bridge alpine', 125, /'--network bridge' is not supported/],
    ['run -v a/b:/data alpine', 125, /no slashes/],
    ['run --memory much --from-host true', 125, /Invalid option 'memory'/],
    ['run --security-opt seccomp=nowhere alpine', 125, /nowhere/],
    ['run -it alpine', 1, /not a terminal/],
    ['serve-registry --tls-cert x', 125, /wherry serve-registry --root/],
  ]
  for (const [words, exitCode, message] of cases) await cli.fails(words.split(' '), exitCode, message)
  const { exitCode, stderr } = await cli.bare(['serve-registry', '--tls-cert', 'x'])
  assert.match(stderr, /belong together/)
  assert.equal(exitCode, 125)
  // Only a command that was understood opens the state directory.
  assert.deepEqual(
    (await readdir(cli.dir)).filter((name) => name !== 'root'),
    [],
  )
})
