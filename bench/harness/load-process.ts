/** A process of clients: see load.ts. */
import { connect, type Socket } from 'node:net';
import { handshake, OPCODE, rawFrame } from '../../test/harness/raw-socket.js';
import type { ClientSpec, LoadAnswer, LoadCommand } from './load.js';
import { jobId, MARK, nowMicros, STAMP_DIGITS } from './payload.js';

const MARK_BYTES = Buffer.from(MARK, 'latin1');
const MARK_BYTE = MARK_BYTES[0];
const PORTS = 20_000;
const PATIENCE_MS = 120_000;
/** So many connect at once. */
const AT_ONCE = 100;
/** More latencies than that are not kept, only counted. */
const KEPT_LATENCIES = 2_000_000;
/** Servers cut off who says nothing for long. */
const SAY_SOMETHING_MS = 20_000;
const PONG = rawFrame({ opcode: OPCODE.pong });

/** Those that are to stay. */
const sockets = new Set<Socket>();
let updates = 0;
let bytes = 0;
let latencies: number[] = [];
let waiting: { readonly total: number; readonly timer: NodeJS.Timeout } | null = null;
/** What went wrong while nobody asked. */
let failure: string | null = null;
let isAsked = false;

function answer(message: LoadAnswer): void {
  isAsked = false;
  process.send?.(message);
}

/** Every command from now on is answered with that. */
function fail(why: string): void {
  failure ??= why;
  if (isAsked) answer({ kind: 'failed', why: failure });
}

/** One buffer for all: what came is looked at before the next read. */
const shared = Buffer.allocUnsafe(256 * 1_024);

/** Connects one client. Resolves when what came has the word in it by which the server says that all is set up. */
async function client(spec: ClientSpec, number: number): Promise<void> {
  const { each = [] } = spec;
  const one = each[number % each.length] ?? '';
  const named = (text: string): string => text.replaceAll('{n}', jobId(number)).replaceAll('{each}', one);
  let opening: string | null = '';
  let isSplit = false;
  await new Promise<void>((resolve, reject) => {
    const socket = connect({
      host: '127.0.0.1',
      port: spec.port,
      // Each address of ours has about 28,000 ports to one of theirs; and to choose an address is to look for a free port.
      ...(number >= PORTS && { localAddress: `127.0.0.${1 + Math.floor(number / PORTS)}` }),
      noDelay: true,
      onread: {
        buffer: shared,
        callback: (length: number): boolean => {
          const chunk = shared.subarray(0, length);
          bytes += length;
          if (opening !== null) {
            // Socket.IO loses what comes before it has answered.
            if (opening === '') {
              for (const text of spec.say ?? [])
                socket.write(rawFrame({ opcode: OPCODE.text, payload: named(text) }));
            }
            opening += chunk.toString('latin1');
            if (opening.includes(spec.ready)) {
              opening = null;
              resolve();
            }
          }
          isSplit = count(chunk, isSplit);
          return true;
        },
      },
    });
    socket.on('error', (error) => reject(error));
    socket.on('close', () => {
      const why = `a client was cut off${opening ? `, having got ${JSON.stringify(opening.slice(0, 500))}` : ''}`;
      reject(new Error(why));
      if (sockets.delete(socket) && opening === null) fail(why);
    });
    socket.write(handshake(named(spec.path)));
    sockets.add(socket);
  });
}

/**
 * Counts the marks in what came, and keeps how old each is.
 * @param isSplit whether the piece before ended in the middle of a mark
 * @returns whether this one does
 */
function count(chunk: Buffer, isSplit: boolean): boolean {
  const before = updates;
  if (isSplit && chunk[0] === MARK_BYTE) updates += 1;
  const now = nowMicros();
  for (let at = chunk.indexOf(MARK_BYTES); at >= 0; at = chunk.indexOf(MARK_BYTES, at)) {
    at += MARK_BYTES.length;
    updates += 1;
    if (at + STAMP_DIGITS > chunk.length || latencies.length >= KEPT_LATENCIES) continue;
    latencies.push(now - Number(chunk.toString('latin1', at, at + STAMP_DIGITS)));
  }
  if (updates > before && waiting !== null) check();
  return chunk[chunk.length - 1] === MARK_BYTE && chunk[chunk.length - 2] !== MARK_BYTE;
}

function check(): void {
  if (waiting === null || updates < waiting.total) return;
  const { total, timer } = waiting;
  waiting = null;
  clearTimeout(timer);
  if (updates > total) fail(`the clients got ${updates} updates where there were to be ${total}`);
  else answer({ kind: 'done' });
}

async function connectAll({ spec, first, count }: Extract<LoadCommand, { kind: 'connect' }>): Promise<void> {
  let next = first;
  const worker = async (): Promise<void> => {
    while (next < first + count) await client(spec, next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Answers when there are so many. An update that never comes is a fault of whoever is measured, and ends it all. */
function until(total: number): void {
  const timer = setTimeout(
    () => fail(`after ${PATIENCE_MS} ms the clients have ${updates} updates of ${total}`),
    PATIENCE_MS,
  );
  waiting = { total, timer };
  check();
}

process.on('message', (command: LoadCommand) => {
  isAsked = true;
  if (failure !== null && command.kind !== 'cut') {
    fail(failure);
    return;
  }
  switch (command.kind) {
    case 'connect':
      connectAll(command).then(
        () => answer({ kind: 'done' }),
        (error: unknown) => fail(String(error)),
      );
      return;
    case 'until':
      until(command.total);
      return;
    case 'figures':
      answer({ kind: 'figures', updates, bytes, latencies });
      latencies = [];
      return;
    case 'cut': {
      const all = [...sockets];
      sockets.clear();
      // By a reset: a connection that is closed in good order keeps its port for another minute.
      for (const socket of all) socket.resetAndDestroy();
      answer({ kind: 'done' });
      return;
    }
    default:
      command satisfies never;
  }
});
process.on('disconnect', () => process.exit());
setInterval(() => {
  for (const socket of sockets) socket.write(PONG);
}, SAY_SOMETHING_MS);
