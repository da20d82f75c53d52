#!/usr/bin/env node
import { run } from '../internal/cli/program.js';
import { processContext } from '../internal/cli/runtime/process-context.js';

// Not process.exit: what was written to a pipe has still to leave.
const args = process.argv.slice(2);
process.exitCode = await run(args, processContext());
// But a connection that was being opened when the command was stopped is not waited for; and the Tab key waits for nothing.
setTimeout(() => process.exit(), args[0] === 'complete' ? 0 : 1_000).unref();
