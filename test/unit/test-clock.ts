import type { Clock } from '../../sdk/worker/ports.js';

/** A clock that stands still until it is moved. */
export class TestClock implements Clock {
  at = 0;
  readonly timers = new Set<{ at: number; call: () => void }>();
  now = (): number => this.at;
  timestamp = (): string => new Date(this.at).toISOString();
  chance = (): number => 0.5;
  later = (ms: number, call: () => void): (() => void) => {
    const timer = { at: this.at + ms, call };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  };

  pass(ms: number): void {
    const until = this.at + ms;
    for (;;) {
      const next = [...this.timers].sort((a, b) => a.at - b.at).find(({ at }) => at <= until);
      if (next === undefined) break;
      this.timers.delete(next);
      this.at = Math.max(this.at, next.at);
      next.call();
    }
    this.at = until;
  }
}
