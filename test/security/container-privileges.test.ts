// SPDX-License-Identifier: MIT
// Setuid programs and capabilities.
// Checked: `noNewPrivileges: false` turns the answer of the first test round, which it shows.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kDefaultCapabilities } from '../../lib/oci/capabilities.ts'
import { needsContainers } from '../integration/rootfs.ts'
import { useAttack } from './container-attacks.ts'

const attack = useAttack()

for (const userns of ['auto', 'host'] as const) {
  test(`a setuid program gives no privileges (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const ids = async (noNewPrivileges: boolean): Promise<string> =>
      (await attack.run(['/probe-setuid', 'ids'], { userns, user: '1000', noNewPrivileges })).stdout
    assert.match(await ids(true), /^uid=1000,1000,1000 /)
    assert.match(await ids(false), /^uid=1000,0,0 /)
  })

  test(`capabilities outside the default ones are gone for good (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const { stdout } = await attack.run(['/probe', 'caps'], { userns })
    const field = (name: string): string => new RegExp(`^${name}:\\s*(\\w+)$`, 'm').exec(stdout)?.[1] ?? ''
    for (const name of ['CapBnd', 'CapPrm', 'CapEff']) {
      const bits = BigInt(`0x${field(name)}`)
        .toString(2)
        .replaceAll('0', '').length
      assert.ok(bits <= kDefaultCapabilities.length, `${name} has ${bits}`)
    }
    assert.deepEqual(['CapInh', 'CapAmb', 'NoNewPrivs', 'Seccomp'].map(field), [
      '0000000000000000',
      '0000000000000000',
      '1',
      '2',
    ])
    // What root without CAP_SYS_ADMIN or CAP_NET_ADMIN cannot do.
    const output = await attack.sh(
      'mount -t tmpfs tmpfs /srv && echo GOT; hostname evil && echo GOT; ip link set lo down && echo GOT; ' +
        'umount /proc && echo GOT; unshare -m true && echo GOT; echo done',
      { userns },
    )
    assert.doesNotMatch(output, /GOT/)
    assert.match(output, /done/)
  })
}
