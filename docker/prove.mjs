/** Run while the image is built: ends with 1 unless this Node loads uWebSockets.js, listens with it, and is answered. */
import { loadUws } from '../dist/internal/edge/uws.js';

const uws = await loadUws(16_384);
const answer = await new Promise((resolve, reject) => {
  const app = uws.App().get('/', (response) => response.end('here'));
  app.listen('127.0.0.1', 0, (socket) => {
    if (!socket) return reject(new Error('uWebSockets.js is loaded, but does not listen'));
    fetch(`http://127.0.0.1:${uws.localPort(socket)}/`)
      .then((response) => response.text())
      .then(resolve, reject)
      .finally(() => uws.closeListenSocket(socket));
  });
});
if (answer !== 'here') throw new Error(`uWebSockets.js answered "${answer}"`);
process.stdout.write(
  `uWebSockets.js works on Node ${process.version}, ${process.platform} ${process.arch}\n`,
);
process.exit(0);
