/** The client in a worker of Node: a clock and chance of its own. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Seat } from './seat.js';

interface Answer {
  call?: number;
  value?: unknown;
  failure?: string;
  thrown?: string;
}

/** @param main the bundle's first module */
export async function takeNodeSeat(main: string): Promise<Seat> {
  const worker = new Worker(main);
  const errors: string[] = [];
  const open = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let count = 0;
  worker.on('error', (error) => errors.push(String(error)));
  worker.on('message', ({ call, value, failure, thrown }: Answer) => {
    if (thrown !== undefined) errors.push(thrown);
    const waiting = open.get(call ?? 0);
    open.delete(call ?? 0);
    if (failure === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(failure));
  });
  worker.on('exit', () => {
    for (const { reject } of open.values()) reject(new Error(`the worker is gone: ${errors.join('; ')}`));
  });
  await once(worker, 'online');
  const reach = (method: string, args: readonly unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      count += 1;
      open.set(count, { resolve, reject });
      worker.postMessage({ call: count, method, args });
    });
  return new Seat(reach, errors, async () => {
    await worker.terminate();
  });
}
