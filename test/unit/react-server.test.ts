/** @headway/react on a server: nothing is opened, and what is rendered is what a browser begins with. */

import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { createElement, Suspense } from 'react';
import { renderToPipeableStream, renderToString } from 'react-dom/server';
import { expect, test } from 'vitest';
import { HeadwayProvider, ProgressBar, useJob, useJobs } from '../../sdk/react/index.js';
import { FakeProgressClient } from '../harness/fake-progress-client.js';

const ShownJob = ({ id, suspense = false }: { id: string | null; suspense?: boolean }) => {
  const { state, connection } = useJob(id, { suspense });
  return createElement('p', null, `${connection} ${state?.progress ?? 'nothing'}`);
};
const ShownJobs = () => createElement('p', null, `${useJobs({ ids: ['a'] }).jobs.size} jobs`);

test('hooks and the bar render the state before the first one, and open nothing', () => {
  const client = new FakeProgressClient();
  const html = renderToString(
    createElement(
      HeadwayProvider,
      { client },
      createElement(ShownJob, { id: 'a' }),
      createElement(ShownJob, { id: null, suspense: true }),
      createElement(ShownJobs),
      createElement(ProgressBar, { job: 'a', label: '<b>Upload</b>' }),
    ),
  );
  expect(html).toMatchInlineSnapshot(
    `"<p>idle nothing</p><p>idle nothing</p><p>0 jobs</p><div class="headway-progress headway-waiting"><span id="_R_4_">&lt;b&gt;Upload&lt;/b&gt;</span><div role="progressbar" aria-labelledby="_R_4_" aria-valuemin="0" aria-valuemax="100" aria-valuetext="Waiting for the first update" aria-busy="true"><progress aria-hidden="true" max="100"></progress></div><span>Waiting for the first update</span></div>"`,
  );
  // A strict Content-Security-Policy forbids the attribute, and React would not write it again.
  expect(html).not.toContain('style=');
  expect([client.handles, client.lists]).toEqual([[], []]);
});

test('a server needs no client', () => {
  const bar = createElement(ProgressBar, { job: 'a' });
  expect(renderToString(createElement(HeadwayProvider, { client: null }, bar))).toContain('Waiting');
});

test('a hook without a provider says what is missing', () => {
  expect(() => renderToString(createElement(ShownJob, { id: 'a' }))).toThrow('no <HeadwayProvider');
});

test('a job that suspends leaves its fallback to the browser, and does not hold the server up', async () => {
  const client = new FakeProgressClient();
  const errors: string[] = [];
  const tree = createElement(
    HeadwayProvider,
    { client },
    createElement(Suspense, { fallback: 'loading' }, createElement(ShownJob, { id: 'a', suspense: true })),
  );
  const html = await new Promise<string>((resolve) => {
    const { pipe } = renderToPipeableStream(tree, {
      onAllReady: () => resolve(text(pipe(new PassThrough()))),
      onError: (error) => void errors.push((error as Error).message),
    });
  });
  expect(html).toContain('loading');
  expect(errors).toEqual(['A job with { suspense: true } is rendered in browsers only.']);
  expect(client.handles).toEqual([]);
});
