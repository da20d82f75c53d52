/** The pictures of the README: HEADWAY_SCREENSHOTS=docs/images. Nothing is asserted. */
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'vitest';
import { busyJobs, DashboardSite, PHONE, story } from './dashboard-fixture.js';

const JOBS = 320;
/** Long enough for a line of the rate. */
const BUSY_MS = 30_000;

test.skipIf(!process.env.HEADWAY_SCREENSHOTS?.endsWith('docs/images'))(
  'the pictures of the README',
  async () => {
    await using site = await DashboardSite.start();
    let troubles = 0;
    const jobs = busyJobs(JOBS, Date.now()).filter(
      ([, { status }]) => status !== 'error' || ++troubles % 5 === 1,
    );
    await site.publish(...jobs);
    await site.publish(...story('pdf-10fz', Date.now()));
    const running = jobs.filter(([, { status, indeterminate }]) => status === 'processing' && !indeterminate);
    await site.publish(
      ...running.slice(0, 2).map(([id, fields]) => [id, { ...fields, stall_after_seconds: 2 }] as const),
    );
    await using tab = await site.open();
    const { page } = tab;
    for (let ms = 0, turn = 0; ms < BUSY_MS; ms += 100, turn++) {
      const busy = running
        .slice(2)
        .filter((_, index) => (index * 7 + turn) % (9 + 4 * Math.sin(turn / 40)) < 1);
      await site.publish(
        ...busy.map(([id, fields]) => {
          const progress = Math.min(99, Number(fields.progress) + turn / 20);
          return [id, { ...fields, progress, timestamp: new Date().toISOString() }] as const;
        }),
      );
      await delay(100);
    }
    await tab.picture('dashboard-list');
    await page.setViewportSize(PHONE);
    await page.emulateMedia({ colorScheme: 'dark' });
    await tab.picture('dashboard-phone');
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.goto(`${site.edge.http}/#/jobs/pdf-10fz`);
    await page.getByText('complete: every event').waitFor();
    for (let count = 0; count < 45; count++)
      await page.getByRole('button', { name: 'Previous event' }).click();
    await tab.picture('dashboard-job');
  },
);
