export { openPolling } from './polling-wire.js';
export { openSse } from './sse-wire.js';
