/** What a worker of Node runs: the clock first, then the client, with the `WebSocket` of ws. */
import './skewed-clock.js';
import { parentPort } from 'node:worker_threads';
import WebSocket from 'ws';
import type { WebSocketClass } from '../../../sdk/client/types.js';
import { Recorder } from './recorder.js';

const recorder = new Recorder(WebSocket as unknown as WebSocketClass);
const calls = recorder as unknown as Record<string, (...args: unknown[]) => unknown>;
process.on('uncaughtException', (error) => parentPort?.postMessage({ thrown: String(error) }));
process.on('unhandledRejection', (error) => parentPort?.postMessage({ thrown: String(error) }));
parentPort?.on('message', async ({ call, method, args }) => {
  try {
    const value = await calls[method]?.(...args);
    parentPort?.postMessage({ call, value });
  } catch (error) {
    parentPort?.postMessage({ call, failure: String(error) });
  }
});
