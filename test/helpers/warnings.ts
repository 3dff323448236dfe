// SPDX-License-Identifier: MIT
// Loaded before each test file: a warning of Node (leaked listeners, deprecations, …) fails the file.

process.on('warning', (warning) => {
  // Node announces its own experimental parts; they are not ours to fix.
  if (warning.name === 'ExperimentalWarning') return
  console.error(`a warning fails this test file: ${warning.stack ?? warning.message}`)
  process.exitCode = 1
})
