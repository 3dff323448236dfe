// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readFileSync, readlinkSync } from 'node:fs'
import { ContainerStartError, ContainerStateError, InvalidOptionError, NotFoundError } from '../../lib/errors.ts'
import { leavesNothing } from '../helpers/leftovers.ts'
import { until } from '../helpers/until.ts'
import { execCgroups, inContainer } from './exec-fixtures.ts'
import { eachSetting, useFixture } from './rootfs.ts'

const fixture = useFixture()

const kNamespaces = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts'] as const

eachSetting(fixture, 'a program in a container has its streams, its exit code and its end', async (setting) => {
  await inContainer(setting, async ({ exec, target }) => {
    const script = 'echo out; echo err >&2; exit 7'
    const { id, exit, killSignal, stdout, stderr, ...rest } = await exec(['/bin/sh', '-c', script])
    assert.deepEqual([id, String(stdout), String(stderr), exit.exitCode], [target.id, 'out\n', 'err\n', 7])
    assert.deepEqual([killSignal, rest.timedOut, rest.oomKilled, rest.overflowed], [null, false, false, false])
    assert.ok(exit.pid > 1 && rest.durationMs > 0 && exit.maxRssBytes > 0)
    assert.equal(String((await exec(['/bin/cat'], { input: 'typed' })).stdout), 'typed')
    assert.equal(String((await exec(['/bin/cat'])).stdout), '', 'no input is an empty one')
    const killed = await exec(['/bin/sh', '-c', 'kill -TERM $$'])
    assert.deepEqual([killed.exit.exitCode, killed.killSignal], [null, 'SIGTERM'])
  })
})

eachSetting(fixture, 'it is in the namespaces and below the cgroup of the container', async (setting) => {
  await inContainer(setting, async ({ spawn, target }) => {
    const program = await spawn(['/bin/sleep', '1000'])
    for (const name of kNamespaces) {
      const [its, the] = [program.pid, target.pid].map((pid) => readlinkSync(`/proc/${pid}/ns/${name}`))
      assert.equal(its, the, name)
    }
    const cgroups = (pid: number): string[] => readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')
    for (const [i, line] of cgroups(target.pid).entries()) {
      const its = cgroups(program.pid)[i] ?? ''
      assert.ok(its === line || its.startsWith(`${line}/exec-`), `${its} is not below ${line}`)
    }
    program.kill(9)
    assert.equal((await program.exited).killSignal, 'SIGKILL')
  })
})

eachSetting(fixture, 'it may do what the container may do', async (setting) => {
  const fields = /^(Cap\w+|NoNewPrivs|Seccomp|Uid|Gid|Groups):.*$/gm
  for (const options of [{}, { noNewPrivileges: false, capabilities: { add: ['NET_ADMIN'] } }, { user: '1000:1000' }]) {
    await inContainer(
      setting,
      async ({ sh }) => {
        const text = await sh('cat /proc/1/status; echo ====; cat /proc/self/status; umask')
        const [one, own] = text.split('====').map((each) => each.match(fields))
        assert.deepEqual(own, one)
      },
      options,
    )
  }
})

eachSetting(fixture, 'privileged gives all capabilities and leaves the filter', async (setting) => {
  await inContainer(setting, async ({ exec, runtime }) => {
    const { stdout } = await exec([setting.probe, 'caps'], { privileged: true })
    const mask = BigInt(`0x${/CapEff:\s*(\w+)/.exec(String(stdout))?.[1] ?? '0'}`)
    assert.equal(mask.toString(2).replaceAll('0', '').length, runtime.host.facts.boundingCapabilities.length)
    assert.match(String(stdout), /Seccomp:\s*2/)
  })
})

eachSetting(fixture, 'nothing of the host is open in it', async (setting) => {
  await inContainer(setting, async ({ exec }) => {
    const { stdout } = await exec([setting.probe, 'fds'], { input: 'x' })
    const targets = String(stdout).trim().split('\n')
    assert.deepEqual(
      targets.map((line) => line.replace(/\[\d+\]|\/proc\/.*/, '')).filter((line) => !/^\d+ $/.test(line)),
      ['0 pipe:', '1 pipe:', '2 pipe:'],
    )
    assert.equal(
      String((await exec([setting.probe, 'pid'])).stdout)
        .replace(/pid=\d+/, 'pid=')
        .includes('ppid=0'),
      true,
    )
  })
})

eachSetting(
  fixture,
  'environment, directory and user are the container’s, with its own over them',
  async (setting) => {
    const options = { env: { A: '1', B: '2', GONE: 'x' }, cwd: '/srv', user: 'alice', groups: ['audio'] }
    await inContainer(
      setting,
      async ({ sh, exec }) => {
        const seen = await sh('echo $A $B $HOME $HOSTNAME; pwd; id -u; id -G')
        assert.match(seen, /^1 2 \/home\/alice \w{12}\n\/srv\n1000\n1000 29 50\n$/)
        const own = { env: { B: 'own', GONE: undefined }, cwd: '/tmp', user: 'bob', groups: [] }
        assert.equal(
          await sh('echo $A $B $(env | grep -c GONE) $HOME; pwd; id -un', own),
          '1 own 0 /home/bob\n/tmp\nbob\n',
        )
        assert.equal(await sh('id -u; id -g', { user: '1:50', groups: [] }), '1\n50\n')
        await assert.rejects(exec(['/bin/true'], { user: 'nobody-here' }), NotFoundError)
        const unmapped = exec(['/bin/true'], { user: 4_000_000_000 })
        if (setting.userns === 'auto') await assert.rejects(unmapped, InvalidOptionError)
        else assert.equal((await unmapped).exit.exitCode, 0)
        // Users are those that the container has now.
        await sh('echo "late:x:1234:1234::/srv:/bin/sh" >> /etc/passwd', { user: 'root' })
        assert.equal(await sh('id -u; echo $HOME', { user: 'late', groups: [] }), '1234\n/srv\n')
      },
      options,
    )
  },
  ['imported'],
)

eachSetting(fixture, 'limits of the container hold for it', async (setting) => {
  await inContainer(
    setting,
    async ({ exec, sh }) => {
      assert.equal(await sh('ulimit -n; cat /proc/self/oom_score_adj'), '123\n500\n')
      const hog = await exec([setting.probe, 'memhog', '100'])
      assert.equal(hog.killSignal, 'SIGKILL')
      assert.equal(hog.oomKilled, true)
      assert.equal((await exec(['/bin/true'])).exit.exitCode, 0, 'the container lives on')
    },
    { memory: '32m', memorySwap: '32m', ulimits: { nofile: 123 }, oomScoreAdj: 500 },
  )
})

eachSetting(
  fixture,
  'what cannot run is told as a run tells it',
  async (setting) => {
    await inContainer(setting, async ({ exec }) => {
      const fails = async (command: string[], exitCode: number, message: RegExp, options = {}): Promise<void> => {
        await assert.rejects(exec(command, options), (error) => {
          assert.ok(error instanceof ContainerStartError, String(error))
          assert.equal(error.exitCode, exitCode)
          assert.match(error.message, message)
          return true
        })
      }
      await fails(['no-such-program'], 127, /not found in PATH \(\/usr\/local\/sbin:/)
      await fails(['/no/such/program'], 127, /no such file in the container/)
      await fails(['/bin/not-executable'], 126, /permission denied/)
      await fails(['/srv'], 126, /is a directory/)
      await fails(['/bin/no-interpreter'], 127, /interpreter/)
      await fails(['/bin/true'], 127, /working directory \/nowhere/, { cwd: '/nowhere' })
      await fails(['/bin/true'], 126, /working directory \/etc\/passwd/, { cwd: '/etc/passwd' })
    })
  },
  ['imported'],
)

eachSetting(fixture, 'no program runs in a container that has ended, or in what has its pid now', async (setting) => {
  await inContainer(setting, async ({ exec, kill, runtime, target }) => {
    const other = { ...target, startTimeTicks: target.startTimeTicks - 1 }
    assert.throws(() => runtime.execs.targets.open(other), ContainerStateError)
    assert.equal((await exec(['/bin/true'])).exit.exitCode, 0)
    kill('SIGKILL')
    await assert.rejects(
      async () => {
        for (;;) await exec(['/bin/true'])
      },
      (error) => {
        const isKilled = error instanceof ContainerStateError
        assert.ok(isKilled, String(error))
        assert.deepEqual([error.code, error.operation, error.state], ['ERR_CONTAINER_STATE', 'exec', 'exited'])
        return true
      },
    )
  })
})

eachSetting(fixture, 'many programs leave nothing behind', async (setting) => {
  const count = 150
  await inContainer(setting, async ({ exec, target, runtime }) => {
    const some = async (): Promise<void> => {
      for (let i = 0; i < count; i += 10) {
        const all = await Promise.all(Array.from({ length: 10 }, () => exec(['/bin/echo', 'x'])))
        assert.ok(all.every(({ stdout }) => String(stdout) === 'x\n'))
      }
      await runtime.execs.slots.clear()
    }
    await some()
    await leavesNothing(some)
    await until(() => execCgroups(target).length === 0, 'their cgroups are gone')
  })
})
