/** An edge in a container of the image `headway`, as it runs in production: not root, on a read-only file system. */

import { Container, type Place } from '../harness/container.js';
import { TEST_SETTINGS } from '../harness/edge-settings.js';
import { freePorts } from '../harness/free-ports.js';
import { waitFor } from '../harness/wait.js';

export interface EdgeContainer extends AsyncDisposable {
  readonly container: Container;
  readonly http: string;
  readonly ws: string;
}

export const HEADWAY_IMAGE = 'headway';

/** Starts it and waits until `/readyz` says 200. */
export async function startEdgeContainer(
  networks: readonly Place[],
  env: Readonly<Record<string, string>>,
): Promise<EdgeContainer> {
  const [port = 0] = await freePorts(1);
  const container = await Container.start('edge', {
    image: HEADWAY_IMAGE,
    env: {
      ...TEST_SETTINGS,
      ...env,
    },
    ports: { 8080: port },
    networks,
    readOnly: true,
  });
  const http = `http://127.0.0.1:${port}`;
  try {
    await waitFor(async () => (await fetch(`${http}/readyz`)).status === 200, {
      what: 'the edge in the container to be ready',
      timeoutMs: 30_000,
      giveUp: () => container.giveUp(),
    });
  } catch (error) {
    await container.kill();
    throw error;
  }
  return {
    container,
    http,
    ws: `ws://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => void (await container.kill()),
  };
}
