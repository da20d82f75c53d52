/**
 * The health check of the image: ends with 0 when the edge in this container answers `/livez`. Its port and whether it
 * speaks TLS are read from the environment that the edge itself was given.
 */
import { request as http } from 'node:http';
import { request as https } from 'node:https';

const { HEADWAY_HOST: listened = '', HEADWAY_PORT: port, HEADWAY_TLS_CERT: certificate } = process.env;
const everywhere = { '': '127.0.0.1', '0.0.0.0': '127.0.0.1', '::': '::1' };

const ask = certificate ? https : http;
ask({
  host: everywhere[listened] ?? listened,
  port: port || 8080,
  path: '/livez',
  timeout: 4_000,
  // It is our own process, on our own address: whose name is in the certificate does not matter here.
  rejectUnauthorized: false,
})
  .on('response', ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1))
  .on('timeout', () => process.exit(1))
  .on('error', () => process.exit(1))
  .end();
