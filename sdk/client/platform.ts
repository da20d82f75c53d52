import type { Platform } from './wire.js';

/** The real one. In Node there is no page, so nothing wakes it. */
export function realPlatform(WebSocketClass: Platform['WebSocket']): Platform {
  const page = globalThis.document;
  const listen = (events: readonly (readonly [EventTarget, string])[], run: () => void): (() => void) => {
    for (const [target, event] of events) target.addEventListener(event, run);
    return () => {
      for (const [target, event] of events) target.removeEventListener(event, run);
    };
  };
  return {
    WebSocket: WebSocketClass ?? globalThis.WebSocket,
    fetch: (input, init) => fetch(input, init),
    now: () => Date.now(),
    random: Math.random,
    later(ms, run) {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
    onWake(run) {
      if (page === undefined) return () => {};
      const ifVisible = () => page.hidden || run();
      return listen(
        [
          [globalThis, 'online'],
          [globalThis, 'pageshow'],
          [page, 'resume'],
          [page, 'visibilitychange'],
        ],
        ifVisible,
      );
    },
    onHide: (run) => (page === undefined ? () => {} : listen([[globalThis, 'pagehide']], run)),
    isVisible: () => !page?.hidden,
  };
}
