// SPDX-License-Identifier: MIT
// A distribution that others made: Debian's minimal system by mmdebstrap, imported as a tar.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Container, type RunOptions } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import { debianMinimal } from '../helpers/debian-services.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { type Capability, missing, needs, skipOrFail } from '../helpers/needs.ts'
import { needsContainers } from './rootfs.ts'

type TextOptions = RunOptions & { encoding?: BufferEncoding | undefined }

checkLeftovers()

/** The imported distribution, or why there is none. */
class Debian {
  engine: Engine | undefined
  image: Image | undefined
  reason: string | undefined
  #dir: string | undefined

  async make(): Promise<void> {
    this.#dir = await mkdtemp(join(tmpdir(), 'wherry-debian-'))
    this.reason = absent('root', 'overlay', 'command:mmdebstrap')
    if (this.reason !== undefined) return
    const { path, reason } = await debianMinimal()
    this.reason = reason
    if (path === undefined) return
    this.engine = await Engine.open({ root: join(this.#dir, 'root') })
    this.image = await Image.import(path, { engine: this.engine, reference: 'debian', config: { Cmd: ['bash'] } })
  }

  async remove(): Promise<void> {
    await this.engine?.close()
    if (this.#dir !== undefined) await rm(this.#dir, { recursive: true, force: true })
  }
}

function absent(...capabilities: Capability[]): string | undefined {
  return capabilities.map(missing).find((reason) => reason !== undefined)
}

const debian = new Debian()
before(() => debian.make())
after(() => debian.remove())

type Sh = (script: string, options?: TextOptions) => Promise<string>

function eachUserns(name: string, body: (sh: Sh) => Promise<void>): void {
  for (const userns of ['auto', 'host'] as const) {
    test(`Debian: ${name} (userns ${userns})`, async (t) => {
      if (!needsContainers(t) || !needs(t, 'command:mmdebstrap')) return
      const { engine, image, reason } = debian
      if (engine === undefined || image === undefined) {
        // A mirror that cannot be reached is no fault of the host, but on continuous integration it must be seen.
        return skipOrFail(t, reason ?? 'there is no Debian')
      }
      await body(async (script, options = {}) => {
        const { stdout } = await Container.run(image, ['bash', '-ec', script], { engine, userns, ...options })
        return stdout
      })
    })
  }
}

eachUserns('dpkg knows what is installed', async (sh) => {
  const list = await sh('dpkg -l')
  const installed = list.split('\n').filter((line) => line.startsWith('ii '))
  assert.ok(installed.length > 50, `${installed.length} packages`)
  for (const name of ['bash', 'dpkg', 'libc6', 'perl-base', 'procps']) {
    assert.ok(
      installed.some((line) => line.split(/\s+/)[1]?.split(':')[0] === name),
      name,
    )
  }
  // Every file is where its package says, with its contents.
  assert.equal(await sh('dpkg --verify bash coreutils libc6 perl-base'), '')
})

eachUserns('perl, apt-get and id', async (sh) => {
  assert.equal(await sh(`perl -e 'print join(",", map { $_ * $_ } 1..5), "\\n"'`), '1,4,9,16,25\n')
  assert.match(await sh('apt-get --version'), /^apt \d+\.\d+/)
  assert.equal(await sh('id'), 'uid=0(root) gid=0(root) groups=0(root)\n')
  assert.equal(await sh('id', { user: 'www-data' }), 'uid=33(www-data) gid=33(www-data) groups=33(www-data)\n')
  assert.equal(await sh('id -un; echo ~', { user: 'mail' }), 'mail\n/var/mail\n')
  assert.match(await sh('cat /etc/debian_version; . /etc/os-release; echo $ID'), /^12\.\d+\ndebian\n$/)
})

eachUserns('ps sees the container and nothing else', async (sh) => {
  const rows = (await sh('sleep 100 & ps -eo pid,ppid,user,comm --no-headers; kill %1')).trimEnd().split('\n')
  const names = rows.map((row) => row.trim().split(/\s+/))
  assert.deepEqual(names.map((row) => row.at(-1)).sort(), ['bash', 'ps', 'sleep'])
  assert.deepEqual(names[0]?.slice(0, 3), ['1', '0', 'root'])
  assert.match(await sh('free -m; uptime'), /Mem:.*\n[\s\S]*load average/)
})

eachUserns('a script with pipes, background jobs, traps and here-documents', async (sh) => {
  const script = String.raw`
    set -eu
    work=$(mktemp -d); trap 'echo cleaned; rm -r "$work"' EXIT
    for i in 1 2 3 4; do ( sleep 0.0$i; echo "job $i" > "$work/$i" ) & done
    wait
    cat "$work"/* | sort -r | sed 's/job/task/' | tr '\n' ' '; echo
    mkfifo "$work/pipe"; seq 1 1000 > "$work/pipe" & awk '{ sum += $1 } END { print sum }' < "$work/pipe"; wait
    paste -sd+ <(seq 3); cat <<< 'here'
    sleep 100 & job=$!; until grep -q sleep /proc/$job/comm; do :; done
    kill -TERM $job; wait $job || echo "status $?"
    yes | head -n 2 | wc -l; echo "$(yes | head -n 1 > /dev/null; echo "$PIPESTATUS")"
    echo none | xargs -P 4 program-does-not-exist 2> /dev/null || echo "xargs $?"
    tar -C /etc -cf - passwd group | tar -tvf - | awk '{ print $2, $6 }'`
  const expected = [
    ...['task 4 task 3 task 2 task 1 ', '500500', '1+2+3', 'here', 'status 143', '2', '141', 'xargs 127'],
    ...['root/root passwd', 'root/root group', 'cleaned', ''],
  ]
  assert.deepEqual((await sh(script)).split('\n'), expected)
})

eachUserns('packages can be unpacked and removed: owners, modes and links can be set', async (sh) => {
  const script = `dpkg --remove --force-all procps > /dev/null; ! command -v ps
    install -o www-data -g mail -m 2750 -d /srv/x; stat -c '%U:%G %a' /srv/x; useradd -m -s /bin/bash carol; su carol -c 'id -un; pwd' -l`
  const output = await sh(script, { seccomp: 'default', noNewPrivileges: false })
  assert.equal(output, 'www-data:mail 2750\ncarol\n/home/carol\n')
})
