/** What a client goes through, in Chromium: test/harness/progress-client/scenarios.ts. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, test } from 'vitest';
import { launchChromium } from '../harness/browser.js';
import { ClientHost } from '../harness/progress-client/client-host.js';
import { PageSeat } from '../harness/progress-client/page-seat.js';
import { SCENARIOS } from '../harness/progress-client/scenarios.js';
import { Stage } from '../harness/progress-client/stage.js';
import { sharedNats } from '../harness/shared-nats.js';

const nats = sharedNats({ stream: {} });
let browser: Browser;
let host: ClientHost;
beforeAll(async () => {
  browser = await launchChromium();
  host = await ClientHost.start();
});
afterAll(async () => {
  await browser?.close();
  await host?.[Symbol.asyncDispose]();
});

test.each(SCENARIOS)('$name', async ({ options, play }) => {
  const context = await browser.newContext();
  try {
    await using stage = await Stage.set(
      { nats, host, takeSeat: () => PageSeat.take(context, host) },
      options,
    );
    await play(stage);
  } finally {
    await context.close();
  }
});
