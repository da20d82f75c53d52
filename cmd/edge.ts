import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { accessMistakes } from '../internal/app/access.js';
import { startEdge } from '../internal/app/edge.js';
import { ConfigError, HeadwayError } from '../internal/errors.js';
import { createLogger } from '../internal/telemetry/logger.js';
import { parseEdgeConfig } from '../schemas/config.js';

// Unlike any other edge's, also where every container's process is number 1 and host names differ at their ends only.
const host = hostname()
  .replace(/[^A-Za-z0-9_-]/g, '-')
  .slice(-45);
const defaultEdgeId = `${host || 'edge'}-${randomBytes(4).toString('hex')}`;

try {
  const parsed = parseEdgeConfig(process.env, defaultEdgeId, accessMistakes);
  if (!parsed.ok) throw new ConfigError(parsed.problems);
  const { config, warnings } = parsed;
  const logger = createLogger(config.logLevel, { edge: config.edgeId });
  for (const warning of warnings) logger.warn(warning);

  const edge = await startEdge(config, logger);
  let isStopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    // A second signal means now.
    if (isStopping) process.exit(1);
    isStopping = true;
    logger.info({ signal }, 'stopping');
    edge.close().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ err: error }, 'stopping failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
} catch (error) {
  if (!(error instanceof HeadwayError)) throw error;
  process.stderr.write(`headway edge: ${error.message}\n`);
  process.exit(error.exitCode);
}
