import type { EdgeConfig } from '../../schemas/config.js';
import { isShort } from '../../schemas/config-access.js';
import { parseUrl } from '../../schemas/text.js';
import type { KeyReport } from '../auth/jwks.js';
import { secretProblem } from '../auth/shared-secret.js';
import { createVerifier, type Verifier } from '../auth/verifier.js';
import { parseProxies, TrustedProxies } from '../edge/client-address.js';
import { ConnectionGuard, type GuardNotice } from '../edge/connection-guard.js';
import { Admission } from '../edge/limits.js';
import { OriginPolicy, parseOrigins } from '../edge/origin.js';
import { openSocketsLimit, SocketGuard } from '../edge/socket-guard.js';
import { ConfigError } from '../errors.js';
import type { HistoryReader } from '../jetstream/history-reader.js';
import { type Logger, LogRateLimiter } from '../telemetry/logger.js';
import type { Metrics } from '../telemetry/metrics.js';

/** Who may come in, as the configuration says. `close` it with the edge. */
export interface Access {
  readonly guard: ConnectionGuard;
  readonly admission: Admission;
  readonly sockets: SocketGuard;
  /** What works, but may not be meant; for the log. */
  readonly warnings: readonly string[];
  close(): void;
}

export interface AccessObserver {
  /** Whether the edge can serve one more now. */
  hasCapacity(): boolean;
  /** Whether it can serve one more of this subject or address. */
  hasCapacityFor(requester: string): boolean;
  /** The keys of HEADWAY_JWKS_URL were asked for. */
  keys(report: KeyReport): void;
  /** What may be wrong with the settings, once for each kind. */
  notice(notice: GuardNotice): void;
}

const UNREAD_HINT =
  'a proxy that speaks HTTP/1.0 to this edge (nginx: proxy_http_version 1.1), TLS, or the PROXY protocol, gets 505; a ' +
  'check that only opens the port looks the same, and is harmless';

/** What an edge that serves says: whether there is room for one more, to the log and to the metrics. */
export function accessObserver(
  { maxPendingReads, maxPendingReadsPerSubject }: EdgeConfig,
  { logger, metrics, history }: { logger: Logger; metrics: Metrics; history: HistoryReader },
): AccessObserver {
  const keyLines = new LogRateLimiter(3, 10_000, () => performance.now());
  return {
    hasCapacity: () => history.pending < maxPendingReads,
    hasCapacityFor: (requester) =>
      maxPendingReadsPerSubject === 0 || history.pendingOf(requester) < maxPendingReadsPerSubject,
    keys: (report) => {
      metrics.keyFetches.inc({ result: report.kind });
      const turn = keyLines.acquire();
      if (turn === null) return;
      if (report.kind === 'fetched')
        logger.info({ keys: report.keys, ...turn }, 'the keys for tokens were fetched');
      else {
        const { reason, hasOlderKeys } = report;
        logger.warn({ reason, hasOlderKeys, ...turn }, 'the keys for tokens cannot be fetched');
      }
    },
    notice: (notice) => {
      const { kind, address } = notice;
      const setting = 'HEADWAY_TRUSTED_PROXIES';
      switch (kind) {
        case 'silent_proxy':
          logger.warn({ address, setting }, 'a trusted proxy sends no X-Forwarded-For');
          return;
        case 'crowded_address': {
          const { held, connections } = notice;
          logger.warn({ address, held, connections, setting }, 'most connections are from one address');
          return;
        }
        case 'unread_peer':
          logger.warn({ address, hint: UNREAD_HINT }, 'nothing that comes from one address can be read');
          return;
      }
    },
  };
}

/** What is wrong with these settings that their schema cannot say; each by its variable's name. */
export function accessMistakes(config: Partial<EdgeConfig>): string[] {
  const origins = parseOrigins(config.allowedOrigins ?? '');
  const proxies = parseProxies(config.trustedProxies ?? '');
  const { jwtSecret } = config;
  // That it is short is said with what else does not fit together.
  const secret = jwtSecret === undefined || isShort(jwtSecret) ? null : secretProblem(jwtSecret);
  return [
    ...(secret === null ? [] : [`HEADWAY_JWT_SECRET ${secret}`]),
    ...(hasPassword(config.jwksUrl)
      ? ['HEADWAY_JWKS_URL has a user name or a password in it, which is not supported']
      : []),
    ...(origins.ok ? [] : [`HEADWAY_ALLOWED_ORIGINS: ${origins.problem}`]),
    ...(proxies.ok ? [] : [`HEADWAY_TRUSTED_PROXIES: ${proxies.problem}`]),
  ];
}

function hasPassword(url: string | undefined): boolean {
  const parsed = url === undefined ? null : parseUrl(url);
  return parsed !== null && parsed.username + parsed.password !== '';
}

/** @throws ConfigError */
export function openAccess(config: EdgeConfig, observer: AccessObserver): Access {
  const origins = parseOrigins(config.allowedOrigins);
  const proxies = parseProxies(config.trustedProxies);
  if (!origins.ok || !proxies.ok) throw new ConfigError(accessMistakes(config));
  const verifier = config.auth === 'jwt' ? verifierOf(config, observer) : null;
  const admission = new Admission(
    {
      maxConnections: config.maxConnections,
      maxPerAddress: config.maxConnectionsPerAddress,
      maxPerSubject: config.maxConnectionsPerSubject,
      maxUnauthenticated: config.maxUnauthenticated,
      maxUnauthenticatedPerAddress: config.maxUnauthenticatedPerAddress,
      upgradesPerSecond: config.maxUpgradesPerSecond,
      upgradesPerAddress: config.maxUpgradesPerAddress,
    },
    () => performance.now(),
  );
  const maxOpen = openSocketsLimit();
  const sockets = new SocketGuard(
    { maxHttp: config.maxHttpSockets, maxHttpPerAddress: config.maxHttpSocketsPerAddress, maxOpen },
    () => performance.now(),
  );
  const guard = new ConnectionGuard({
    verifier,
    origins: new OriginPolicy(origins.origins),
    proxies: new TrustedProxies(proxies.list),
    admission,
    hasCapacity: () => observer.hasCapacity(),
    hasCapacityFor: (requester) => observer.hasCapacityFor(requester),
    wallClock: Date.now,
    tokenToleranceMs: config.jwtToleranceSeconds * 1_000,
    isSecure: config.tlsCert !== undefined,
    tokenInQuery: config.tokenInQuery,
    tokenWarningMs: config.tokenWarningSeconds * 1_000,
    authTimeoutMs: config.authTimeoutMs,
    notice: (notice) => observer.notice(notice),
  });
  const warnings = [...wideProxies(proxies.tooWide), ...fewFiles(config, maxOpen)];
  return { guard, admission, sockets, warnings, close: () => verifier?.close() };
}

function wideProxies(ranges: readonly string[]): string[] {
  return ranges.map(
    (range) =>
      `HEADWAY_TRUSTED_PROXIES has ${range}; everybody in it may claim any address, and so is under no limit of ` +
      'addresses. List the proxies alone, or networks of at least /8 (IPv6: /32) that are your own',
  );
}

// Not for those who set no limit: the system's is the one that they want.
function fewFiles({ maxConnections }: EdgeConfig, maxOpen: number | null): string[] {
  if (maxOpen === null || maxConnections <= maxOpen) return [];
  return [
    `HEADWAY_MAX_CONNECTIONS is ${maxConnections}, but the system lets this process open ${maxOpen} sockets; from there on ` +
      'new ones are cut off: raise the limit of open files (ulimit -n), or lower the setting',
  ];
}

function verifierOf(config: EdgeConfig, observer: AccessObserver): Verifier {
  return createVerifier(
    {
      ...(config.jwtSecret === undefined ? {} : { secret: config.jwtSecret }),
      ...(config.jwksUrl === undefined ? {} : { jwksUrl: config.jwksUrl }),
      ...(config.jwtIssuer === undefined ? {} : { issuer: config.jwtIssuer }),
      ...(config.jwtAudience === undefined ? {} : { audience: config.jwtAudience }),
      clockToleranceSeconds: config.jwtToleranceSeconds,
    },
    Date.now,
    { onKeys: (report) => observer.keys(report) },
  );
}
