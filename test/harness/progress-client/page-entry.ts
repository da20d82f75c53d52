/** What the page loads: the clock first, then the client. */
import './skewed-clock.js';
import { Recorder } from './recorder.js';

const KEY = 'told before the reload';
const before: string | null = sessionStorage.getItem(KEY);
const recorder = new Recorder();
if (before !== null) recorder.told().push(...JSON.parse(before));
// Behind the client's own: what it does at the end of a page is over then.
addEventListener('pagehide', ({ persisted }) => {
  if (!persisted) sessionStorage.setItem(KEY, JSON.stringify(recorder.told()));
});
const shows: boolean[] = [];
addEventListener('pageshow', ({ persisted }) => shows.push(persisted));
Object.assign(globalThis, { recorder, shows });
