/** What a process has used, as Linux tells it. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** CPU time of all its threads, user and system, in microseconds; the kernel counts in hundredths of a second. */
export function cpuMicros(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is the program's name, which may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) * 1_024;
}

/** How many files and sockets it has open. */
export const openFiles = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** Waits until it does next to nothing any more. */
export async function untilIdle(pid: number): Promise<void> {
  for (let before = Number.NaN; ; ) {
    const now = cpuMicros(pid);
    if (now - before <= IDLE_MICROS) return;
    before = now;
    await delay(IDLE_MS);
  }
}

const IDLE_MS = 250;
const IDLE_MICROS = 10_000;
