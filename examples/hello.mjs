// Runs two commands in containers on the host's own files, and says how long each took.
// From a clone: npm ci && npm run build && node examples/hello.mjs
import { Container, Image } from 'wherry'

const image = Image.host()

for (const command of [
  ['sh', '-c', 'echo "hello from process $$, as $(id -un), on $(uname -n)"'],
  ['sh', '-c', 'echo scratch > /etc/written-inside && cat /etc/written-inside && ls /proc | grep -c "^[0-9]"'],
]) {
  const started = performance.now()
  const { stdout, exitCode } = await Container.run(image, command)
  const elapsedMs = performance.now() - started
  process.stdout.write(stdout)
  console.log(`  exit code ${exitCode}, ${elapsedMs.toFixed(1)} ms from call to result`)
}
