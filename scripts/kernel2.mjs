// Runs the tests of whole containers on a second kernel: User Mode Linux 6.1 with the unified cgroup hierarchy only and a root
// file system on ext4, as on Debian 12. The compiled tests are taken from build-ts/ (npm run test:integration makes them).
//
//   node scripts/kernel2.mjs                          test/integration/run-*.test.js and cgroup-driver.test.js
//   node scripts/kernel2.mjs integration/run-tty …    chosen ones
//
// WHERRY_BUILD_TS names another directory of compiled tests, WHERRY_KERNEL2_TMP=tmpfs puts the engines' directories on a tmpfs.
// With WHERRY_MUST_WORK=1 what is missing here is a failure.
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { constants as osConstants, tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { buildProbe, root } from './compile.mjs'

const BUILD = process.env.WHERRY_BUILD_TS ?? join(root, 'build-ts')
const MODULES = '/usr/lib/uml/modules'
const DISK_BYTES = 3 * 1024 ** 3
const MEMORY = '2048M'
/** With times: what is older than its source would be built anew, for which the guest has no compiler. */
const kAsItIs = { recursive: true, preserveTimestamps: true }
/** A guest that has not ended by then hangs. */
const TIMEOUT_MS = 900_000
const GUEST_PROJECT = '/srv/project'

/** Debian packages whose programs the guest has; the C library and the rest follow from the programs. */
const PACKAGES =
  'coreutils util-linux mount bash dash tar gzip sed grep findutils iproute2 procps hostname kmod busybox-static passwd ' +
  'login libc-bin uidmap'
/** Tests that cannot pass there, by the beginning of their names, and why. */
const LEFT_OUT = {
  'ends a run after its time': 'the guest takes longer than its 1.5 s to get a program to its first line',
  'a set of CPUs is kept to': 'User Mode Linux has one CPU and no cpuset controller',
  'a limit that the kernel refuses': 'it is a set of CPUs',
  'sets kernel settings of its own namespaces \\([a-z]+ image, userns auto':
    'Linux 6.1 hides net.core.* from user namespaces',
}
const ETC = 'passwd group subuid subgid hosts resolv.conf nsswitch.conf os-release'

const reason = await whyNot()
if (reason === undefined) process.exitCode = await main()
else {
  console.log(`kernel2: skipped: ${reason}`)
  process.exitCode = process.env.WHERRY_MUST_WORK === '1' ? 1 : 0
}

async function whyNot() {
  if (process.getuid?.() !== 0) return 'the files of the guest must belong to root: run as root'
  for (const name of ['linux.uml', 'mkfs.ext4', 'depmod', 'dpkg', 'ldd', 'busybox']) {
    if (which(name) === undefined) {
      return `${name} is not installed (apt-get install user-mode-linux kmod e2fsprogs busybox-static)`
    }
  }
  if (!existsSync(MODULES)) return `${MODULES} is missing`
  if (!existsSync(join(BUILD, 'test/integration'))) return `no compiled tests in ${BUILD}: npm run test:integration`
  if (!existsSync(join(root, 'build/Release/wherry.node'))) return 'the addon is not built: npm run build:native'
  return undefined
}

async function main() {
  const dir = await mkdtemp(join(tmpdir(), 'wherry-kernel2-'))
  try {
    // What compiles anew, as the benchmark does, takes it away, and the guest has no compiler.
    if (!buildProbe(join(BUILD, 'probe'))) throw new Error('the probe for test images could not be built')
    const files = await testFiles(process.argv.slice(2))
    if (files.length === 0) throw new Error(`no such tests in ${BUILD}`)
    const disk = await makeDisk(dir, files)
    await boot(dir, disk)
    const code = await readFile(join(dir, 'exit-code'), 'utf8').catch(() => '')
    if (code === '') console.error('kernel2: the guest ended before the tests did')
    return code === '' ? 1 : Number(code)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** Compiled test files below BUILD. @param chosen — beginnings of their paths below test/ */
async function testFiles(chosen) {
  const names = (await readdir(join(BUILD, 'test'), { recursive: true })).filter((name) => name.endsWith('.test.js'))
  const wanted = chosen.length > 0 ? chosen : ['integration/run-', 'integration/cgroup-driver.']
  return names.filter((name) => wanted.some((start) => name.startsWith(start))).sort()
}

/** Makes an ext4 image that holds a small system, node, and this project. @returns its path */
async function makeDisk(dir, files) {
  const stage = join(dir, 'root')
  const places = ['bin', 'sbin', 'lib', 'lib64'].map((name) => `usr/${name}`)
  for (const name of [...places, ...'dev proc sys run tmp var/tmp var/lib root home etc mnt srv opt'.split(' ')]) {
    await mkdir(join(stage, name), { recursive: true })
  }
  for (const place of places) await symlink(place, join(stage, place.slice('usr/'.length)))
  for (const path of await programs()) await copy(path, join(stage, path))
  for (const name of ETC.split(' ')) {
    if (existsSync(`/etc/${name}`)) await cp(await realpath(`/etc/${name}`), join(stage, 'etc', name))
  }
  await writeFile(join(stage, 'etc/shadow'), 'root:*:19000:0:99999:7:::\n', { mode: 0o640 })
  await cp(MODULES, join(stage, 'usr/lib/modules'), { recursive: true })
  const [release] = await readdir(MODULES)
  must('depmod', ['-b', join(stage, 'usr'), release])
  await copyProject(join(stage, GUEST_PROJECT))
  await writeFile(join(stage, 'init.sh'), initScript(files), { mode: 0o755 })
  const disk = join(dir, 'disk.ext4')
  await writeFile(disk, '')
  await truncate(disk, DISK_BYTES)
  must('mkfs.ext4', ['-q', '-F', '-d', stage, disk])
  await rm(stage, { recursive: true })
  return disk
}

/** Programs and the libraries that they load, as paths below /usr. */
async function programs() {
  const listed = must('dpkg', ['-L', ...PACKAGES.split(' ')]).split('\n')
  const found = listed.filter((path) => /^\/(usr\/)?s?bin\/./.test(path) && existsSync(path))
  found.push(await realpath(process.execPath))
  // ldd fails for scripts and static programs, and tells of the others all the same.
  const { stdout } = spawnSync('ldd', found, { encoding: 'utf8', maxBuffer: 1 << 26 })
  const libraries = stdout.match(/\/\S+\.so\S*/g) ?? []
  return [...new Set([...found, ...libraries].map((path) => (/^\/(s?bin|lib)/.test(path) ? `/usr${path}` : path)))]
}

/** Copies a file, and what it is a link to. */
async function copy(from, to) {
  if (!existsSync(from)) return
  await mkdir(dirname(to), { recursive: true })
  await cp(from, to, { verbatimSymlinks: true })
  const real = await realpath(from)
  const base = to.slice(0, -from.length)
  if (real !== from && !existsSync(base + real)) await copy(real, base + real)
}

async function copyProject(target) {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'))
  const modules = Object.keys(lock.packages).filter((path) => path !== '' && lock.packages[path].dev !== true)
  const own = [
    'package.json',
    'binding.gyp',
    'build/Release/wherry.node',
    'test/fixtures',
    'scripts/summary-reporter.mjs',
  ]
  for (const path of [...own, ...modules]) {
    if (existsSync(join(root, path))) await cp(join(root, path), join(target, path), kAsItIs)
  }
  for (const path of ['lib', 'test', 'probe']) {
    if (existsSync(join(BUILD, path))) await cp(join(BUILD, path), join(target, 'build-ts', path), kAsItIs)
  }
  await cp(await realpath(process.execPath), join(target, 'node'))
}

function initScript(files) {
  const args = [
    '--import ./build-ts/test/helpers/warnings.js --test --test-concurrency=1 --test-timeout=300000',
    // Node matches the names of a test's ancestors too, of which the first is "<root>".
    `--test-name-pattern='/^(?!<root>|${Object.keys(LEFT_OUT).join('|')})./'`,
    '--test-reporter=tap --test-reporter-destination=stdout',
    '--test-reporter=./scripts/summary-reporter.mjs --test-reporter-destination=/run/summary',
    ...files.map((name) => `build-ts/test/${name}`),
  ]
  return `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mountpoint -q /dev || mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue /run/host
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t hostfs none /run/host -o "$WHERRY_HOST_DIR"
${process.env.WHERRY_KERNEL2_TMP === 'tmpfs' ? 'mount -t tmpfs tmpfs /tmp' : ':'}
chmod 1777 /tmp /dev/shm
modprobe -a overlay veth bridge tun fuse
ip link set lo up
hostname guest
ulimit -n 4096
cd ${GUEST_PROJECT}
uname -r
cat /sys/fs/cgroup/cgroup.controllers
WHERRY_MUST_WORK=${process.env.WHERRY_MUST_WORK ?? 0} ./node ${args.join(' ')}
echo $? > /run/host/exit-code
cat /run/summary
sync
halt -f
`
}

/** Runs the guest until it halts. Its memory is a file: /dev/shm is the fast place for it. */
async function boot(dir, disk) {
  const args = [`mem=${MEMORY}`, `ubd0=${disk}`, 'root=/dev/ubda', 'rootfstype=ext4', 'rw', 'init=/init.sh']
  const console_ = ['con=null', 'con0=fd:0,fd:1', 'quiet', `WHERRY_HOST_DIR=${dir}`]
  const env = { ...process.env, TMPDIR: existsSync('/dev/shm') ? '/dev/shm' : dir }
  const guest = spawn('linux.uml', [...args, ...console_], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env,
    detached: true,
  })
  // The guest's processes are in its process group, and this one is the only way to be rid of all of them.
  const end = (signal = 'SIGKILL') => {
    try {
      process.kill(-guest.pid, signal)
    } catch {
      // It is gone already.
    }
  }
  const timer = setTimeout(end, TIMEOUT_MS)
  const quit = (signal) => {
    end()
    process.exitCode = 128 + osConstants.signals[signal]
  }
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, quit)
  await new Promise((resolve) => guest.once('exit', resolve))
  clearTimeout(timer)
  end()
  for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, quit)
}

function which(name) {
  return `${process.env.PATH}:/usr/sbin:/sbin`.split(':').find((dir) => {
    try {
      accessSync(join(dir, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function must(command, args) {
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env, maxBuffer: 1 << 26 })
  if (status !== 0) throw new Error(`${command} ${relative(root, args.at(-1) ?? '')}: ${stderr}`)
  return stdout
}
