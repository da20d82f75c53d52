#!/usr/bin/env node
import { run } from './headway/program.js';
import { processIo } from './headway/world/process-io.js';

// Not process.exit: what was written to a pipe has still to leave.
process.exitCode = await run(process.argv.slice(2), processIo());
// But a connection that was being opened when the command was stopped is not waited for.
setTimeout(() => process.exit(), 1_000).unref();
