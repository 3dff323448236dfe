import { execFileSync } from 'node:child_process'
import fs from 'node:fs'

/** Makes a tree with one of each thing that a layer can hold. As root. */
export function makeRichTree(dir: string): void {
  const script = `
    mkdir -p a/deep/er 'sp ace' sticky; chmod 1777 sticky; chmod 2750 a/deep
    echo hello > a/file; chmod 4755 a/file; ln a/file a/hard; ln -s ../../a/file a/deep/link; ln -s /nowhere dangling
    printf x > "$(printf 'latin-\\351')"; echo y > "$(printf 'a%.0s' $(seq 200))"
    mkfifo pipe; chown 1234:70000 a/file pipe; chown -h 5:6 dangling; mknod null c 1 3; mknod blk b 7 9
    truncate -s 3M hole; printf tail >> hole; dd if=/dev/zero of=hole bs=1 seek=1M count=5 conv=notrunc status=none
    for i in $(seq 40); do truncate -s $((i * 128))K many; printf z >> many; done
    dd if=/dev/urandom of=big bs=1k count=700 status=none
    setfattr -n user.k -v value a/file; setfattr -n user.d -v dir a/deep
    touch -d '2001-02-03 04:05:06.123456789' a/file 'sp ace' a; touch -h -d '1969-01-01 00:00:00.5' dangling
    chmod 0 big; chmod 711 .`
  fs.mkdirSync(dir)
  execFileSync('sh', ['-ec', script], { cwd: dir })
}

/** What is left out of the description of a tree. */
export interface TreeDescription {
  /** Extended attributes with such a name. @default none */
  withoutXattrs?: RegExp
  /** Whether the times of directories count, which everything changes that is put into them. @default true */
  directoryTimes?: boolean
}

/** Says all there is to say about a tree, in an order of its own: two trees are equal when this is. Needs `command:getfattr`. */
export function describeTree(dir: string, { withoutXattrs, directoryTimes = true }: TreeDescription = {}): string {
  const say = (command: string, ...args: string[]): string[] =>
    execFileSync(command, args, { cwd: dir, encoding: 'latin1', maxBuffer: 1 << 28 }).split('\n')
  // Size and links of a directory are the file system's business.
  const directories = say('find', '.', '-type', 'd', '-printf', `%p %y %m %U:%G${directoryTimes ? ' %T@' : ''}\\n`)
  const others = say('find', '.', '!', '-type', 'd', '-printf', '%p %y %m %U:%G %n %s %T@ %l\\n')
  const devices = say(
    'find',
    '.',
    '(',
    '-type',
    'b',
    '-o',
    '-type',
    'c',
    ')',
    '-exec',
    'stat',
    '-c',
    '%n %t:%T',
    '{}',
    '+',
  )
  const sums = say('find', '.', '-type', 'f', '-exec', 'sha256sum', '{}', '+')
  const xattrs = say('getfattr', '-R', '-h', '-d', '-m', '-', '-e', 'hex', '.')
  const kept = withoutXattrs === undefined ? xattrs : xattrs.filter((line) => !withoutXattrs.test(line))
  const perFile = kept
    .join('\n')
    .split('\n\n')
    .filter((text) => text.includes('\n'))
  return [directories, others, devices, sums, perFile].flatMap((lines) => lines.sort()).join('\n')
}
