/** When the dashboard draws what has come. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Store } from '../../web/store/store.js';

class Counted extends Store {
  drawn = 0;

  constructor() {
    super();
    this.subscribe(() => {
      this.drawn += 1;
    });
  }

  change(): void {
    this.changed();
  }
}

/** A page without a screen: a frame comes when the test says so. */
const page = { hidden: false };
let frames = new Map<number, () => void>();
let nextFrame = 1;
const paint = (): void => {
  const due = [...frames.values()];
  frames.clear();
  for (const run of due) run();
};

beforeEach(() => {
  vi.useFakeTimers();
  page.hidden = false;
  frames = new Map();
  vi.stubGlobal('document', page);
  vi.stubGlobal('requestAnimationFrame', (run: () => void) => {
    frames.set(nextFrame, run);
    return nextFrame++;
  });
  vi.stubGlobal('cancelAnimationFrame', (frame: number) => frames.delete(frame));
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test('whatever comes until the next frame is drawn with it, once', () => {
  const store = new Counted();
  for (let count = 0; count < 3; count++) store.change();
  expect(store.drawn).toBe(0);
  paint();
  vi.advanceTimersByTime(10_000);
  expect(store.drawn).toBe(1);
});

test('a page that nobody sees is brought up to date after a second, also one that was hidden with a frame to come', () => {
  const store = new Counted();
  store.change();
  page.hidden = true;
  vi.advanceTimersByTime(1_000);
  expect(store.drawn).toBe(1);
  store.change();
  vi.advanceTimersByTime(1_000);
  expect(store.drawn).toBe(2);
  paint();
  expect(store.drawn).toBe(2);
});
