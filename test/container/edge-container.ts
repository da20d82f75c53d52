/** An edge in a container of the image `headway`, as it runs in production: not root, on a read-only file system. */
import { Container, type Place } from '../harness/container.js';
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
      HEADWAY_AUTH: 'none',
      HEADWAY_MAX_CONNECTIONS_PER_ADDRESS: '0',
      HEADWAY_MAX_PENDING_READS_PER_SUBJECT: '0',
      HEADWAY_MAX_UPGRADES_PER_ADDRESS: '0',
      HEADWAY_MAX_UNAUTHENTICATED_PER_ADDRESS: '0',
      HEADWAY_MAX_HTTP_SOCKETS_PER_ADDRESS: '0',
      // Tests look again at once.
      HEADWAY_METRICS_MAX_AGE_MS: '0',
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
