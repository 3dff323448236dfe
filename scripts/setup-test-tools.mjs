// Installs the Debian packages that the tests use as peers and oracles, when this is root on a Debian-like system.
// Anywhere else it says what is missing and goes on: tests that need one of them skip with a reason.
import { spawnSync } from 'node:child_process'
import { userInfo } from 'node:os'

const PACKAGES = [
  // builds and native tests
  'g++',
  'make',
  'python3',
  'cmake',
  'clang',
  'clang-format',
  'libclang-rt-dev',
  'doctest-dev',
  'libseccomp-dev',
  // real images and root file systems
  'busybox-static',
  'mmdebstrap',
  'skopeo',
  'umoci',
  'libarchive-tools',
  'buildah',
  // registries, and clients to compare with
  'docker-registry',
  'openssl',
  'podman',
  // runtimes to compare with
  'crun',
  'runc',
  'bubblewrap',
  // looking and interfering
  'attr',
  'e2fsprogs',
  'git',
  'procps',
  'strace',
  'uidmap',
  'util-linux',
  'xz-utils',
  'zstd',
]

const missing = PACKAGES.filter((name) => !isInstalled(name))
if (missing.length === 0) {
  console.log('test tools: all installed')
} else if (process.platform !== 'linux' || userInfo().uid !== 0 || !commandExists('apt-get')) {
  console.log(`test tools: not installed here: ${missing.join(' ')} (tests that need them will skip)`)
} else {
  process.exitCode = install(missing)
}

function isInstalled(name) {
  const { stdout } = spawnSync('dpkg-query', ['--status', name], { encoding: 'utf8' })
  return /^Status: .* installed$/m.test(stdout ?? '')
}

function commandExists(name) {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0
}

function install(names) {
  console.log(`test tools: installing ${names.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const apt = (...args) =>
    spawnSync('apt-get', ['-q', '-y', ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] }).status
  // Only the package lists may be stale; the installation itself decides.
  apt('update')
  const known = names.filter((name) => spawnSync('apt-cache', ['show', name]).status === 0)
  const status = apt('install', '--no-install-recommends', ...known)
  const still = names.filter((name) => !isInstalled(name))
  if (still.length > 0) console.log(`test tools: still missing: ${still.join(' ')}`)
  return status ?? 1
}
