import { request } from 'node:http';
import { expect, test } from 'vitest';
import { ReconnectingClient, type SeenUpdate } from '../harness/reconnecting-client.js';
import { waitFor } from '../harness/wait.js';
import { type Composed, composeCommand, composeUp } from './compose.js';

const command = await composeCommand();
const title =
  'G10 any edge: docker compose up; an edge is killed, and whoever was on it goes on with the other without a gap';

test.skipIf(command === undefined)(
  command === undefined ? `${title} (skipped: Compose is not installed)` : title,
  async () => {
    await using site = await composeUp(command ?? [], { PAGE_MS: '60' });
    // The proxy gives each edge one of them.
    await using one = ReconnectingClient.start(`ws://${site.host}`, '/ws/upload-progress');
    await one.until(({ caughtUp }) => caughtUp > 0, 'the first client is there');
    await using two = ReconnectingClient.start(`ws://${site.host}`, '/ws/upload-progress');
    const grow = async (by: number): Promise<void> => {
      const from = [one, two].map(({ updates }) => updates.length);
      await Promise.all(
        [one, two].map((each, i) =>
          each.until(({ updates }) => updates.length > (from[i] ?? 0) + by, `${by} updates more`, 60_000),
        ),
      );
    };
    await grow(20);
    await site.call('kill', '-s', 'KILL', 'edge-1');
    await grow(20);
    expect([one.connects, two.connects].toSorted((a, b) => a - b)).toEqual([1, 2]);
    // NATS keeps what it has on its volume.
    await site.call('kill', '-s', 'KILL', 'nats');
    await site.call('up', '-d', '--no-build');
    await grow(20);
    expect([...one.resets, ...two.resets]).toEqual([]);
    const last = Math.min(one.cursor ?? 0, two.cursor ?? 0);
    const first = Math.max(liveFrom(one), liveFrom(two));
    const seqs = ({ updates }: ReconnectingClient) =>
      updates.map(({ seq }) => seq).filter((seq) => seq >= first && seq <= last);
    expect(seqs(one)).toEqual(seqs(two));
    expect(seqs(one).length).toBeGreaterThan(40);
    expect(brokenLinks(one.updates)).toEqual([]);
    expect(brokenLinks(two.updates)).toEqual([]);
  },
  180_000,
);

test.skipIf(command === undefined)(
  'docker compose up: the dashboard is there; a client has its own address, whatever it says; strange names and the operators’ pages are refused',
  async () => {
    await using site = await composeUp(command ?? [], {});
    expect(await status(site, '/ws/upload-progress', { host: 'evil.example' })).toBe(421);
    expect(await status(site, '/')).toBe(200);
    for (const path of ['/metrics', '/livez', '/readyz']) expect(await status(site, path)).toBe(404);

    const strange = { origin: 'http://evil.example', 'x-forwarded-for': '6.6.6.6' };
    expect(await status(site, '/ws/upload-progress', { ...strange, ...UPGRADE })).toBe(403);
    const refusal = await waitFor(
      async () =>
        /"code":"forbidden_origin","address":"([^"]*)"/.exec(await site.call('logs', 'edge-1', 'edge-2')),
      { what: 'the refusal in the log', timeoutMs: 20_000 },
    );
    expect(refusal[1]).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    expect([site.proxyAddress, '6.6.6.6']).not.toContain(refusal[1]);
  },
  120_000,
);

const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

/** The status of one answer of the proxy; 0 while it does not answer. */
function status(site: Composed, path: string, headers: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve) => {
    request(`http://${site.host}${path}`, { headers })
      .on('response', (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
      .on('upgrade', (_response, socket) => {
        socket.destroy();
        resolve(101);
      })
      .on('error', () => resolve(0))
      .end();
  });
}

/** Of the last states that a client begins with, events may be left out in between; from there on none. */
function liveFrom({ updates }: ReconnectingClient): number {
  const seen = new Set<string>();
  const again = updates.find(({ id }) => seen.size === seen.add(id).size);
  return again?.seq ?? Number.POSITIVE_INFINITY;
}

/** Updates whose `prev_seq` is not what the client saw of the same job before. */
function brokenLinks(updates: readonly SeenUpdate[]): SeenUpdate[] {
  const last = new Map<string, number>();
  return updates.filter(({ id, seq, prevSeq }) => {
    const before = last.get(id);
    last.set(id, seq);
    return before !== undefined && prevSeq !== before;
  });
}
