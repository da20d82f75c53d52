import { type Static, Type } from '@sinclair/typebox';

// The part of an edge's settings that says who may come in and how much of it: tokens, origins, limits, TLS.

const KiB = 1024;
/** 0 to 65,535, without zeros in front. */
const PORT = '(0|[1-9]\\d{0,3}|[1-5]\\d{4}|6[0-4]\\d{3}|65[0-4]\\d{2}|655[0-2]\\d|6553[0-5])';
/** A shorter secret than the digest of HS256 can be guessed sooner than the digest (RFC 7518, 3.2). */
export const MIN_SECRET_BYTES = 32;

/** @see EdgeConfig in config.ts, which these are part of. */
export const ACCESS_SETTINGS = {
  jwtSecret: Type.Optional(
    Type.String({
      env: 'HEADWAY_JWT_SECRET',
      minLength: 1,
      expected: 'at least 32 bytes (openssl rand -base64 48 makes one)',
      secret: true,
      description: 'With it tokens are signed by HS256. Never logged.',
    }),
  ),
  jwksUrl: Type.Optional(
    Type.String({
      env: 'HEADWAY_JWKS_URL',
      pattern: '^https?://[^\\s/]+',
      expected: 'an http:// or https:// address of a JSON Web Key Set',
      secret: true,
      description: 'Where the public keys are that tokens are checked by. Without user and password.',
    }),
  ),
  jwtIssuer: Type.Optional(
    Type.String({
      env: 'HEADWAY_JWT_ISSUER',
      minLength: 1,
      description: 'What `iss` of a token must be. Unset: anything.',
    }),
  ),
  jwtAudience: Type.Optional(
    Type.String({
      env: 'HEADWAY_JWT_AUDIENCE',
      minLength: 1,
      description: 'What `aud` of a token must be, or contain. Unset: anything.',
    }),
  ),
  jwtToleranceSeconds: Type.Integer({
    env: 'HEADWAY_JWT_TOLERANCE_SECONDS',
    default: 5,
    minimum: 0,
    maximum: 300,
    description: 'How far the clock of whoever makes the tokens may be off when one is checked.',
  }),
  tokenInQuery: Type.Boolean({
    env: 'HEADWAY_TOKEN_IN_QUERY',
    default: false,
    description:
      '`true`: a browser may send its token as `token=` in the address, where access logs and histories keep it.',
  }),
  tokenWarningSeconds: Type.Integer({
    env: 'HEADWAY_TOKEN_WARNING_SECONDS',
    default: 60,
    minimum: 1,
    maximum: 3_600,
    description: '`token_expiring` is sent so long before a token expires.',
  }),
  authTimeoutMs: Type.Integer({
    env: 'HEADWAY_AUTH_TIMEOUT_MS',
    default: 6_000,
    minimum: 100,
    maximum: 60_000,
    description:
      'A token that is not checked by then (the keys cannot be had) is refused for now, with 1013.',
  }),
  allowedOrigins: Type.String({
    env: 'HEADWAY_ALLOWED_ORIGINS',
    default: '',
    expected: 'origins such as https://app.example.com, with commas between them',
    description: "Pages of these [origins](#origins) may connect, beside those of the edge's own.",
  }),
  trustedProxies: Type.String({
    env: 'HEADWAY_TRUSTED_PROXIES',
    default: '',
    expected: 'addresses or networks such as 10.0.0.0/8, with commas between them',
    description: 'From these, `X-Forwarded-For` and `X-Forwarded-Proto` are believed.',
    see: '[Limits](#limits)',
  }),
  maxConnections: Type.Integer({
    env: 'HEADWAY_MAX_CONNECTIONS',
    default: 15_000,
    minimum: 0,
    maximum: 10_000_000,
    description: 'Connections in all; above it 503. 0: no limit, as for the next nine.',
  }),
  maxConnectionsPerAddress: Type.Integer({
    env: 'HEADWAY_MAX_CONNECTIONS_PER_ADDRESS',
    default: 1_000,
    minimum: 0,
    maximum: 10_000_000,
    description: 'Connections from one address (of IPv6, one /64); above it 4429.',
  }),
  maxConnectionsPerSubject: Type.Integer({
    env: 'HEADWAY_MAX_CONNECTIONS_PER_SUBJECT',
    default: 200,
    minimum: 0,
    maximum: 10_000_000,
    description: 'Connections with tokens of one `sub`; above it 4429.',
  }),
  maxUnauthenticated: Type.Integer({
    env: 'HEADWAY_MAX_UNAUTHENTICATED',
    default: 2_000,
    minimum: 0,
    maximum: 10_000_000,
    description: 'Connections whose tokens are still being checked; above it 503.',
  }),
  maxUnauthenticatedPerAddress: Type.Integer({
    env: 'HEADWAY_MAX_UNAUTHENTICATED_PER_ADDRESS',
    default: 500,
    minimum: 0,
    maximum: 10_000_000,
    description: 'Those of one address (of IPv6, one /64); above it 503.',
  }),
  maxHttpSockets: Type.Integer({
    env: 'HEADWAY_MAX_HTTP_SOCKETS',
    default: 6_000,
    minimum: 0,
    maximum: 10_000_000,
    description:
      'Sockets that are no WebSocket (yet): those that ask nothing, and those that ask over HTTP; above it new ones are cut off.',
  }),
  maxHttpSocketsPerAddress: Type.Integer({
    env: 'HEADWAY_MAX_HTTP_SOCKETS_PER_ADDRESS',
    default: 1_000,
    minimum: 0,
    maximum: 10_000_000,
    description:
      'Those of one address (of IPv6, one /64) that have not sent a whole request; above it new ones are cut off. Proxies of `HEADWAY_TRUSTED_PROXIES` do not count.',
  }),
  maxUpgradesPerSecond: Type.Integer({
    env: 'HEADWAY_MAX_UPGRADES_PER_SECOND',
    default: 5_000,
    minimum: 0,
    maximum: 1_000_000,
    description: 'New connections a second, and as many at once; above it 503.',
  }),
  maxUpgradesPerAddress: Type.Integer({
    env: 'HEADWAY_MAX_UPGRADES_PER_ADDRESS',
    default: 500,
    minimum: 0,
    maximum: 1_000_000,
    description:
      "New connections a second from one address (of IPv6, one /64), so that one that connects and drops in a loop does not use up everybody's; above it 503 with `Retry-After`. 0: no limit.",
  }),
  maxClientFramesPerSecond: Type.Integer({
    env: 'HEADWAY_MAX_CLIENT_FRAMES_PER_SECOND',
    default: 50,
    minimum: 0,
    maximum: 1_000_000,
    description: 'Frames a second from one client, pings and pongs too; above it 4429.',
  }),
  maxClientBytesPerSecond: Type.Integer({
    env: 'HEADWAY_MAX_CLIENT_BYTES_PER_SECOND',
    default: 64 * KiB,
    minimum: 0,
    maximum: 1024 * 1024 * KiB,
    description: 'Bytes a second from one client; above it 4429.',
  }),
  maxClientFrameBytes: Type.Integer({
    env: 'HEADWAY_MAX_CLIENT_FRAME_BYTES',
    default: 16 * KiB,
    minimum: 256,
    maximum: 1024 * KiB,
    description:
      'The largest frame of a client; above it 4400, and above sixteen times as much the connection is cut. It holds a token at the most.',
  }),
  maxHeaderBytes: Type.Integer({
    env: 'HEADWAY_MAX_HEADER_BYTES',
    default: 16 * KiB,
    minimum: 1 * KiB,
    maximum: 64 * KiB,
    description:
      'The headers of one request together; above it 431. A token of 8,192 characters has to fit in.',
  }),
  metricsListen: Type.Optional(
    Type.String({
      env: 'HEADWAY_METRICS_LISTEN',
      pattern: `^(\\[[0-9A-Fa-f:.]+\\]|[^\\s:/@\\[\\]]+):${PORT}$`,
      expected: 'a host and a port such as 127.0.0.1:9090 or [::1]:9090',
      description:
        '`/metrics` is at this address, without TLS, with `/livez` and `/readyz`, and not found at the public one. Port 0 takes a free one and logs it.',
      see: '[Metrics](#metrics)',
    }),
  ),
  metricsMaxAgeMs: Type.Integer({
    env: 'HEADWAY_METRICS_MAX_AGE_MS',
    default: 1_000,
    minimum: 0,
    maximum: 60_000,
    description: 'Metrics are collected at most so often; who asks in between gets what there is.',
  }),
  tlsCert: Type.Optional(
    Type.String({
      env: 'HEADWAY_TLS_CERT',
      minLength: 1,
      description: 'Path of a PEM file with the certificate (chain) for wss:// and https://.',
      see: '[TLS](#tls)',
    }),
  ),
  tlsKey: Type.Optional(
    Type.String({
      env: 'HEADWAY_TLS_KEY',
      minLength: 1,
      description: 'Path of a PEM file with its key, without a passphrase.',
    }),
  ),
} as const;

/** What `HEADWAY_METRICS_LISTEN` says. */
export function hostAndPort(text: string): { readonly host: string; readonly port: number } {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}

type Access = { [K in keyof typeof ACCESS_SETTINGS]?: Static<(typeof ACCESS_SETTINGS)[K]> };

/** Whether a secret has fewer bytes than HS256 asks for. */
export function isShort(secret: string): boolean {
  return new TextEncoder().encode(secret).length < MIN_SECRET_BYTES;
}

/** What of these settings does not fit together; each by the variables' names, with what to do. */
export function accessProblems(values: Access & { readonly auth?: 'jwt' | 'none' }): string[] {
  const problems: string[] = [];
  if (values.jwtSecret !== undefined && isShort(values.jwtSecret)) {
    const bytes = new TextEncoder().encode(values.jwtSecret).length;
    problems.push(
      `HEADWAY_JWT_SECRET has ${bytes} bytes; expected at least ${MIN_SECRET_BYTES} (openssl rand -base64 48 makes one)`,
    );
  }
  const hasKeys = values.jwtSecret !== undefined || values.jwksUrl !== undefined;
  if (values.auth === 'jwt' && !hasKeys) {
    problems.push(
      'HEADWAY_AUTH is "jwt", but neither HEADWAY_JWT_SECRET nor HEADWAY_JWKS_URL is set; set one',
    );
  }
  if (values.auth === 'none' && hasKeys) {
    // Whoever sets a key believes that there is a lock.
    problems.push(
      'HEADWAY_AUTH is "none", but HEADWAY_JWT_SECRET or HEADWAY_JWKS_URL is set; set HEADWAY_AUTH to "jwt", or remove them',
    );
  }
  if ((values.tlsCert === undefined) !== (values.tlsKey === undefined)) {
    problems.push('HEADWAY_TLS_CERT and HEADWAY_TLS_KEY belong together; only one of them is set');
  }
  const { maxClientBytesPerSecond: rate, maxClientFrameBytes: frame } = values;
  if (rate !== undefined && frame !== undefined && rate !== 0 && rate < frame) {
    problems.push(
      'HEADWAY_MAX_CLIENT_BYTES_PER_SECOND is less than HEADWAY_MAX_CLIENT_FRAME_BYTES, so that the largest frame could never pass',
    );
  }
  return problems;
}
