import type { Platform } from './wire.js';

/** The real one. In Node there is no page, so nothing wakes it. */
export function realPlatform(WebSocketClass: Platform['WebSocket']): Platform {
  return {
    WebSocket: WebSocketClass ?? globalThis.WebSocket,
    now: () => Date.now(),
    random: Math.random,
    later(ms, run) {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
    onPage(wake, hide) {
      const page = globalThis.document;
      const control = new AbortController();
      // On their way down also the events of the document come by.
      const listen = (event: string, run: () => void): void =>
        page && addEventListener(event, run, { capture: true, signal: control.signal });
      for (const event of ['online', 'pageshow', 'resume', 'visibilitychange'])
        listen(event, () => page.hidden || wake());
      listen('pagehide', hide);
      return () => control.abort();
    },
  };
}
