/** The dashboard's list of jobs, in Chromium. */
import { expect, test } from 'vitest';
import { waitFor } from '../harness/wait.js';
import { busyJobs, type DashboardTab, PHONE, useDashboard } from './dashboard-fixture.js';

const site = useDashboard();

test('with no job it says so, and how one comes', async () => {
  await using tab = await site().open();
  await tab.page.getByRole('heading', { name: 'No jobs yet' }).waitFor();
  await tab.page.getByText('Live', { exact: true }).waitFor();
  expect(await tab.axe()).toEqual([]);
  await tab.pictures('empty');
});

test('a few jobs: each with its state, failed and stalled first', async () => {
  await site().publish(...busyJobs(60, Date.now()));
  await site().publish([
    'video-quiet',
    {
      job_type: 'video.transcode',
      progress: 63,
      status: 'processing',
      stall_after_seconds: 0.2,
      step: { name: 'Encoding 1080p' },
    },
  ]);
  await using tab = await site().open();
  await tab.page.getByRole('button', { name: '1 Stalled' }).waitFor();
  await tab.pictures('list');
  expect(await tab.axe()).toEqual([]);
});

test('a stalled job that is alive again by heartbeats alone is shown as running, in the list and on its page, until it is silent again', async () => {
  await site().publish(['heart', { progress: 5, stall_after_seconds: 1 }]);
  await using tab = await site().open('#/?q=heart');
  await using page = await site().open('#/jobs/heart');
  await tab.page.locator('.row-stalled').waitFor();
  await page.page.locator('.job-state.row-stalled').waitFor();
  const beat = () => site().nc.publish('alive.progress.heart');
  const beats = setInterval(beat, 100);
  try {
    await tab.page.locator('.row-running').waitFor();
    await page.page.locator('.job-state:not(.row-stalled)').waitFor();
    expect(await page.page.locator('.job-state').textContent()).toContain('Running');
  } finally {
    clearInterval(beats);
  }
  await tab.page.locator('.row-stalled').waitFor();
  await page.page.locator('.job-state.row-stalled').waitFor();
});

/** With all of its ten thousand jobs. */
async function openFull(): Promise<DashboardTab> {
  const tab = await site().open();
  await tab.page.getByText('10,002 jobs', { exact: true }).waitFor({ timeout: 20_000 });
  return tab;
}

test('ten thousand jobs', async () => {
  await site().publish(...busyJobs(10_000, Date.now()));
  await using tab = await openFull();
  // Those that have broken their promise are found among thousands that have made none.
  await tab.page.getByRole('button', { name: '2 Stalled' }).waitFor();
  await tab.pictures('many');
  expect(await tab.axe()).toEqual([]);
  await tab.page.setViewportSize(PHONE);
  expect(await tab.isTooWide()).toBe(false);
});

test('the buttons of types stay where they are while their counts change, and those that have none have one list', async () => {
  await using tab = await openFull();
  const { page } = tab;
  const buttons = page.locator('.types button');
  const names = async () => (await buttons.allTextContents()).map((text) => text.split(' ')[0]);
  const before = await names();
  expect(before).toHaveLength(5);
  const more = page.getByRole('combobox', { name: 'More types' });
  const [, none, first, second] = await more.locator('option').allTextContents();
  expect(none).toMatch(/^no type /);
  expect([first, second].sort()).toEqual([first, second]);
  // Nobody but the last of them has such jobs.
  await page.locator('input[type=search]').fill(before[4] ?? '');
  await page.getByText(/^\d.* of 10,002 jobs$/).waitFor();
  expect((await buttons.allTextContents()).filter((text) => text.endsWith(' 0'))).toHaveLength(4);
  expect(await names()).toEqual(before);

  await page.locator('input[type=search]').fill('');
  await more.selectOption({ label: first ?? '' });
  await waitFor(async () => (await names())[5] === first?.split(' ')[0], {
    what: 'a button of the chosen one',
  });
  expect((await names()).slice(0, 5)).toEqual(before);
  await buttons.nth(5).click();
  await waitFor(async () => (await names()).length === 5, { what: 'the five of before' });

  // An old link may hold a type that nobody has any more.
  await page.goto(new URL('#/?type=long.gone', site().edge.http).href);
  await page.getByRole('button', { name: 'long.gone 0', exact: true }).click();
  await page.locator('.rows .row').first().waitFor();
});

test('two changes of the view that come before it is drawn both count', async () => {
  await using tab = await openFull();
  const { page } = tab;
  await page.evaluate(`
    document.querySelector('.tile-failed').click();
    [...document.querySelectorAll('.types button')].find((chip) => chip.textContent.includes('pdf.words')).click();
    [...document.querySelectorAll('.row-head button')].find((head) => head.textContent.includes('Age')).click();
  `);
  const wanted = /#\/\?state=failed&type=pdf\.words&sort=age$/;
  await waitFor(() => wanted.test(page.url()), { what: 'all three in the address' });
});

test('the address holds the view: states, types, text and order come back with it, and by the keyboard', async () => {
  await using tab = await openFull();
  const { page } = tab;
  await page.getByRole('button', { name: /Failed/ }).click();
  await page.getByRole('button', { name: /^pdf\.words/ }).click();
  await page.keyboard.press('/');
  await page.keyboard.type('DISK space');
  await page.getByRole('button', { name: 'Age', exact: true }).click();
  const wanted = /#\/\?state=failed&type=pdf\.words&q=DISK\+space&sort=age$/;
  await waitFor(() => wanted.test(page.url()), { what: `the address, ${page.url()}` });
  await page.locator('.row-failed').first().waitFor();
  await page.locator('input[type=search]').fill('nothing-like-it');
  await page.getByText('No job matches').waitFor();
  await page.locator('input[type=search]').fill('NO space');
  await page.locator('.row-failed').first().waitFor();
  const shown = async () => await page.locator('.shown').textContent();
  const before = await shown();
  expect(before).toMatch(/^\d+ of 10,002 jobs$/);
  await page.reload();
  await page.locator('.row-failed').first().waitFor();
  await waitFor(async () => (await shown()) === before, { what: 'the same jobs' });
  expect(await page.locator('input[type=search]').inputValue()).toBe('NO space');
  expect(await page.locator('.rows .row:not(.row-failed)').count()).toBe(0);
  await page.getByRole('button', { name: 'Show all' }).click();
  await waitFor(async () => (await shown()) === '10,002 jobs', { what: 'all of them' });

  // Down by ten rows, and to the end, and into a job and back.
  await page.locator('.job-list').focus();
  for (let count = 0; count < 10; count++) await page.keyboard.press('ArrowDown');
  const active = page.locator('.row-active');
  expect(await active.getAttribute('aria-rowindex')).toBe('11');
  await page.keyboard.press('End');
  await waitFor(async () => (await active.getAttribute('aria-rowindex')) === '10003', {
    what: 'the last row',
  });
  const id = (await active.locator('a').textContent()) ?? '';
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: id, exact: true }).waitFor();
  expect(page.url()).toMatch(new RegExp(`#/jobs/${id}$`));
  await page.keyboard.press('Escape');
  await page.locator('.job-list').waitFor();
  // The keyboard is where it was.
  await waitFor(
    async () => (await active.count()) === 1 && (await active.locator('a').textContent()) === id,
    {
      what: 'the same row',
    },
  );
  expect(await page.evaluate('document.activeElement.className')).toContain('job-list');
  expect(tab.asked.filter((url) => new URL(url).host !== new URL(site().edge.http).host)).toEqual([]);
});

test('keys: Enter on the head of a column sorts, and Escape empties the search before it leaves it', async () => {
  await site().publish(['pdf-keys', { progress: 5 }]);
  await using tab = await site().open('#/?q=pdf');
  const { page } = tab;
  await page.locator('.job-list').focus();
  await page.keyboard.press('ArrowDown');
  await page.locator('.row-active').waitFor();
  const age = page.getByRole('columnheader', { name: 'Age' });
  await age.getByRole('button').focus();
  await page.keyboard.press('Enter');
  await waitFor(() => /q=pdf&sort=age$/.test(page.url()), { what: 'the order in the address' });
  expect(await age.getAttribute('aria-sort')).toBe('ascending');
  await page.keyboard.press('Enter');
  await waitFor(() => /q=pdf&sort=-age$/.test(page.url()), { what: 'the other way round' });
  expect(await age.getAttribute('aria-sort')).toBe('descending');
  expect(await age.getByRole('button').evaluate((it) => it === document.activeElement)).toBe(true);

  const search = page.locator('input[type=search]');
  const hasFocus = () => search.evaluate((it) => it === document.activeElement);
  await page.keyboard.press('/');
  await page.keyboard.type('no-such-job');
  await page.getByText('No job matches').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('.job-list').waitFor();
  expect([await search.inputValue(), await hasFocus()]).toEqual(['', true]);
  expect(page.url()).toMatch(/#\/\?sort=-age$/);
  await page.keyboard.press('Escape');
  await waitFor(async () => !(await hasFocus()), { what: 'the list has the keyboard' });
  expect(await page.evaluate('document.activeElement.className')).toContain('job-list');
});

test('large text, for a screen on the wall', async () => {
  await using tab = await site().open();
  await tab.page.getByRole('button', { name: 'Large text' }).click();
  expect(tab.page.url()).toMatch(/#\/\?large=$/);
  await tab.pictures('large');
  expect(await tab.isTooWide()).toBe(false);
  expect(await tab.axe()).toEqual([]);
});

test('hostile words stay words, in one line, and turn nothing round', async () => {
  const evil = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
  const turned = 'safe \u202e gnp.exe \u2066 \u200b end';
  const piled = `Z${'\u0301'.repeat(400)}`;
  const long = 'x'.repeat(60_000);
  await site().publish(
    [
      'hostile-1',
      {
        progress: 1,
        status: 'error',
        error: { code: evil.slice(0, 100), message: `${evil} ${turned} ${piled}`, details: { evil, long } },
      },
    ],
    ['hostile-2', { progress: 100, status: 'completed', message: turned, result: { [evil]: long } }],
    [
      `hostile-${'w'.repeat(120)}`,
      { progress: 3, message: 'w'.repeat(4_000), step: { name: 's'.repeat(256) } },
    ],
    [
      'hostile-4',
      { progress: 4, message: 'שלום \u05d0\u05d1 مرحبا', step: { name: turned }, job_type: 't'.repeat(64) },
    ],
    [
      'hostile-5',
      {
        progress: 100,
        status: 'completed',
        result: '</script><script>window.hacked=1</script>',
        extra: long.slice(0, 50_000),
      },
    ],
  );
  await using tab = await site().open('#/?q=hostile');
  const { page } = tab;
  await waitFor(async () => (await page.locator('.shown').textContent())?.startsWith('5 of'), {
    what: 'the hostile jobs',
  });
  const isHarmless = async () => {
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    expect(await page.locator('#app img, #app script').count()).toBe(0);
    expect(await page.locator('#app').textContent()).not.toMatch(/[\u202a-\u202e\u2066-\u2069\u200b]/);
    expect(await tab.isTooWide()).toBe(false);
  };
  const heights = await page
    .locator('.rows .row')
    .evaluateAll((rows) => rows.map((row) => (row as HTMLElement).offsetHeight));
  expect(new Set(heights).size).toBe(1);
  await isHarmless();
  await tab.pictures('hostile');
  expect(await tab.axe()).toEqual([]);
  for (const id of ['hostile-1', 'hostile-2', 'hostile-4', 'hostile-5', `hostile-${'w'.repeat(120)}`]) {
    await page.goto(`${site().edge.http}/#/jobs/${id}`);
    await page.getByRole('heading', { name: id, exact: true }).waitFor();
    await page.getByText('complete: every event').waitFor();
    await isHarmless();
    if (id === 'hostile-1') await tab.pictures('hostile-job');
    await page.setViewportSize(PHONE);
    expect([id, await tab.isTooWide()]).toEqual([id, false]);
  }
});

test('of finished jobs the last 10,000 are kept, and it says that there were others', async () => {
  await using tab = await site().open('#/?q=long-done');
  const { page } = tab;
  const first = page.getByRole('link', { name: 'long-done-first' });
  const note = page.getByText('Older finished jobs are not shown');
  const completed = page.locator('.tile-completed .tile-count');
  const fields = { status: 'completed', progress: 100 };
  await site().publish(['done-before', fields], ['long-done-first', fields]);
  await first.waitFor();
  expect(await note.count()).toBe(0);
  // With it they are 10,000: whatever was before is forgotten.
  await site().publish(...Array.from({ length: 9_999 }, (_, index) => [`done-${index}`, fields] as const));
  await note.waitFor();
  await page.locator('input[type=search]').fill('done-');
  await waitFor(async () => (await completed.textContent()) === '10,000', { what: 'these 10,000 jobs' });
  await site().publish(['long-done-last', fields]);
  await page.locator('input[type=search]').fill('long-done');
  await page.getByRole('link', { name: 'long-done-last' }).waitFor();
  await first.waitFor({ state: 'detached' });
  expect(await completed.textContent()).toBe('1');
  await tab.pictures('older');
  expect(await tab.axe()).toEqual([]);
  // Its page is there all the same, and its next attempt brings it back.
  await page.goto(`${site().edge.http}/#/jobs/long-done-first`);
  await page.getByText('complete: every event').waitFor();
  await site().publish(['long-done-first', { progress: 5, attempt: 2 }]);
  await page.goto(`${site().edge.http}/#/?q=long-done`);
  await first.waitFor();
});
