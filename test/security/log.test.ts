/** What others write into the edge's log is read by people at terminals. */
import { expect, test } from 'vitest';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { handshake, RawSocket } from '../harness/raw-socket.js';
import { sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const shared = sharedNats({ stream: {} });
// (Not DEL: nats-server keeps a subject with it, and does not always deliver it.) Turns the reading direction, clears the screen (in one byte and in two), ends a line, hides.
const EVIL = 'a\u202egnp\u009b2J\u001b[2J\u0085\u2028\u2066\u200b\u{e0041}z';
const OBEYED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

test('G8 bad input: what a worker or a client names reaches the log with every sign that a terminal obeys as an escape', async () => {
  await using edge = await startEdgeProcess({ natsUrl: shared.nats.url });
  const subject = `progress.${EVIL}`;
  await shared.nc.jetstream().publish(subject, 'x');
  await waitFor(() => edge.logged('a stored message is not an event').length === 1, { what: 'the log line' });
  const header = [...EVIL].filter((sign) => (sign.codePointAt(0) ?? 0) > 0x7f || /[ -~]/.test(sign)).join('');
  const origin = Buffer.from(`Origin: https://${header}\r\n`).toString('latin1');
  await using raw = await RawSocket.connect(edge.port, handshake(`/ws/upload-progress/${jobId()}`, origin));
  expect(await raw.gone()).toMatch(/^HTTP\/1\.1 403 /);
  await waitFor(() => edge.logged('a connection was refused').length === 1, { what: 'the log line' });
  for (const line of edge.output().split('\n')) expect(line).not.toMatch(OBEYED);
  // The values are what they were.
  expect(edge.logged('a stored message is not an event')[0]?.subject).toBe(subject);
  expect(edge.logged('a connection was refused')[0]).toMatchObject({
    code: 'forbidden_origin',
    origin: `https://${header}`,
    setting: 'HEADWAY_ALLOWED_ORIGINS',
  });
});
