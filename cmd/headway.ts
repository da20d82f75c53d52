#!/usr/bin/env node
import { run } from './headway/program.js';

// EPIPE: the reader of a pipe, such as head, has seen enough. There is nothing left to do then, unless only the notes
// are not wanted.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});
process.stderr.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

// Not process.exit: what was written to a pipe has still to leave.
process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  now: Date.now,
  out: (text) => void process.stdout.write(text),
  note: (text) => void process.stderr.write(text),
});
