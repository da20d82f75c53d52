/** Edges that go away behind a proxy: killed, and restarted one after the other. */
import { beforeAll, describe, expect, test } from 'vitest';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { makeSite, ProxiedEdges, type Site } from '../harness/proxied-edges.js';
import { publish, storedEvents } from '../harness/publish.js';
import { discrepancy, ReconnectingClient } from '../harness/reconnecting-client.js';
import { PROXIES } from '../harness/reverse-proxy.js';
import { connectedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const FOLLOWERS_OF_EACH = 5;

let site: Site;
beforeAll(async () => {
  site = await makeSite();
});

describe.each(PROXIES)('%s', (proxy) => {
  test('G1 order, G10 any edge: an edge is killed, and another drains; clients resume on the other, nothing lost, nothing doubled', async () => {
    await using own = await connectedNats({ stream: {} });
    await using edges = await ProxiedEdges.start({
      proxy,
      site,
      natsUrl: own.nats.url,
      env: { HEADWAY_DRAIN_MS: '500' },
    });
    const ids = [jobId(), jobId()];
    for (const id of ids) await publish(own.nc, id, { progress: 0 });
    const paths = [...ids.map((id) => `/ws/upload-progress/${id}`), '/ws/upload-progress'];
    const followers = paths.flatMap((path) =>
      Array.from({ length: FOLLOWERS_OF_EACH }, () =>
        ReconnectingClient.start(edges.proxy.wss, path, null, { ca: site.ca }),
      ),
    );
    const report = async (events: number): Promise<number> => {
      let last = 0;
      for (let i = 0; i < events; i++) last = await publish(own.nc, ids[i % 2] as string, { progress: 1 });
      return last;
    };
    const caughtUp = (last: number, what: string) =>
      Promise.all(followers.map((follower) => follower.until(({ cursor }) => (cursor ?? 0) >= last, what)));
    const serving = (index: number): Promise<number> =>
      metric(edges.edges[index]?.http ?? '', 'headway_connections', 0);

    await caughtUp(await report(20), 'what came first');
    // Both serve: whichever goes takes clients along.
    expect(await serving(0)).toBeGreaterThan(0);
    expect(await serving(1)).toBeGreaterThan(0);

    const killed = edges.edges[0]?.kill();
    const whileGone = await report(40);
    await killed;
    await caughtUp(whileGone, 'what came while an edge was killed');
    await edges.replace(0);
    await waitFor(async () => (await edges.ask(`/v1/jobs/${ids[0]}`)).status === 200, { what: 'the proxy' });

    const stopped = edges.edges[1]?.stop();
    const whileDraining = await report(40);
    expect(await stopped).toBe(0);
    await caughtUp(whileDraining, 'what came while an edge drained');
    await waitFor(async () => (await serving(0)) === followers.length, { what: 'all on the other edge' });

    const stored = await storedEvents(own.nc, 'PROGRESS');
    for (const [i, follower] of followers.entries()) {
      const of = ids[Math.floor(i / FOLLOWERS_OF_EACH)];
      expect(discrepancy(follower, stored, of === undefined ? undefined : new Set([of]))).toBeNull();
      expect(follower.resets).toEqual([]);
    }
    await Promise.all(followers.map((follower) => follower.stop()));
  });
});
