import type { OpenWire } from './wire.js';

const away: OpenWire = () => {
  throw new Error('this transport is not built yet');
};

export { away as openPolling, away as openSse };
