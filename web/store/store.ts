import { useEffect, useReducer } from 'preact/hooks';

const HIDDEN_MS = 1_000;

/** Something that is shown, and tells when it has changed: once for each frame that is painted. */
export class Store {
  readonly #subscribers = new Set<() => void>();
  #isScheduled = false;

  subscribe(onChange: () => void): () => void {
    this.#subscribers.add(onChange);
    return () => void this.#subscribers.delete(onChange);
  }

  /** Whatever comes until the next frame is painted with it. A page that nobody sees is brought up to date once a second. */
  protected changed(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const run = (): void => {
      clearTimeout(timer);
      cancelAnimationFrame(frame);
      this.#isScheduled = false;
      this.update();
      for (const call of [...this.#subscribers]) call();
    };
    // The page may be hidden before the next frame, which then does not come.
    const timer = setTimeout(run, HIDDEN_MS);
    const frame = document.hidden ? 0 : requestAnimationFrame(run);
  }

  /** Takes in what has come, before it is shown. */
  protected update(): void {}
}

/** Draws a component again whenever the store has changed. */
export function useStore(store: Store): void {
  const [, draw] = useReducer((count: number, _: undefined) => count + 1, 0);
  useEffect(() => store.subscribe(() => draw(undefined)), [store]);
}

/** The time, told anew so often. */
export function useNow(everyMs = 1_000): number {
  const [, draw] = useReducer((count: number, _: undefined) => count + 1, 0);
  useEffect(() => {
    const timer = setInterval(() => draw(undefined), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return Date.now();
}
