#!/usr/bin/env node
import { processIo } from './headway/process-io.js';
import { run } from './headway/program.js';

// Not process.exit: what was written to a pipe has still to leave.
process.exitCode = await run(process.argv.slice(2), processIo());
// But a connection that was being opened when the command was stopped is not waited for.
setTimeout(() => process.exit(), 1_000).unref();
