import { type RunningEdge, startEdge } from '../../internal/app/edge.js';
import { createLogger } from '../../internal/telemetry/logger.js';
import { parseEdgeConfig } from '../../schemas/config.js';
import { TEST_SETTINGS } from './edge-settings.js';
import { uniqueId } from './ids.js';

/** An edge in the test's own process. */
export interface LocalEdge extends AsyncDisposable {
  readonly edge: RunningEdge;
  readonly ws: string;
  readonly http: string;
}

/**
 * Starts an edge in this process on a free port; its log is silent.
 * @param env settings as the environment would hold them
 */
export async function startLocalEdge(natsUrl: string, env: Record<string, string> = {}): Promise<LocalEdge> {
  const parsed = parseEdgeConfig(
    {
      NATS_URL: natsUrl,
      ...TEST_SETTINGS,
      HEADWAY_HOST: '127.0.0.1',
      HEADWAY_PORT: '0',
      HEADWAY_LOG_LEVEL: 'silent',
      ...env,
    },
    uniqueId('edge'),
  );
  if (!parsed.ok) throw new Error(parsed.problems.join('; '));
  const edge = await startEdge(parsed.config, createLogger(parsed.config.logLevel, {}));
  return {
    edge,
    ws: `ws://127.0.0.1:${edge.port}`,
    http: `http://127.0.0.1:${edge.port}`,
    [Symbol.asyncDispose]: () => edge.close(),
  };
}
