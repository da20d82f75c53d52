import type { Platform } from './wire.js';

/** The real one. In Node there is no page, so nothing wakes it. */
export function realPlatform(WebSocketClass: Platform['WebSocket']): Platform {
  const page = globalThis.document;
  /** On their way down also the events of the document come by. */
  const listen = (events: readonly string[], run: () => void): (() => void) => {
    if (page === undefined) return () => {};
    for (const event of events) addEventListener(event, run, true);
    return () => {
      for (const event of events) removeEventListener(event, run, true);
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
    onWake: (run) => listen(['online', 'pageshow', 'resume', 'visibilitychange'], () => page.hidden || run()),
    onHide: (run) => listen(['pagehide'], run),
    isVisible: () => !page?.hidden,
  };
}
