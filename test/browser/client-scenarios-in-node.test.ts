/** What a client goes through, in Node: test/harness/progress-client/scenarios.ts. Beside it are the browser's. */
import { afterAll, beforeAll, test } from 'vitest';
import { bundledFiles } from '../harness/progress-client/bundle.js';
import { ClientHost } from '../harness/progress-client/client-host.js';
import { takeNodeSeat } from '../harness/progress-client/node-seat.js';
import { SCENARIOS } from '../harness/progress-client/scenarios.js';
import { Stage } from '../harness/progress-client/stage.js';
import { sharedNats } from '../harness/shared-nats.js';

const nats = sharedNats({ stream: {} });
let host: ClientHost;
let files: Awaited<ReturnType<typeof bundledFiles>>;
beforeAll(async () => {
  host = await ClientHost.start(false);
  files = await bundledFiles();
});
afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await files?.[Symbol.asyncDispose]();
});

test.each(SCENARIOS)('$name', async ({ options, play }) => {
  await using stage = await Stage.set({ nats, host, takeSeat: () => takeNodeSeat(files.main) }, options);
  await play(stage);
});
