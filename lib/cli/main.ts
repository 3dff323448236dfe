#!/usr/bin/env node
// SPDX-License-Identifier: MIT
import { createRequire } from 'node:module'
import { argv } from 'node:process'
import { Cli } from './cli.ts'
import { runCommandLine } from './run-command-line.ts'

const { version } = createRequire(import.meta.url)('wherry/package.json') as { version: string }

process.exitCode = await runCommandLine(new Cli(version), argv.slice(2))
