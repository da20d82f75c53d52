/** Tokens as services mint them, with jose, and a host of public keys that can be slow or away. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { type Frame, WsClient, type WsOptions } from './client.js';
import { metric } from './metrics.js';
import { waitFor } from './wait.js';

/** A secret that an edge takes; made anew for each test process. */
export const TOKEN_SECRET = randomBytes(48).toString('base64');

/** The settings of an edge that takes the tokens of `mint`. Expiry counts to the second. */
export const JWT_ENV = {
  HEADWAY_AUTH: 'jwt',
  HEADWAY_JWT_SECRET: TOKEN_SECRET,
  HEADWAY_JWT_TOLERANCE_SECONDS: '0',
} as const;

/** Seconds since 1970, `seconds` from now; fractions are kept. */
export const inSeconds = (seconds: number): number => Date.now() / 1_000 + seconds;

/** A token for HS256, for an hour if `claims` say nothing else; `exp: undefined` leaves it out. */
export async function mint(claims: Record<string, unknown>, secret = TOKEN_SECRET): Promise<string> {
  return await new SignJWT({ exp: inSeconds(3_600), ...claims })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .sign(new TextEncoder().encode(secret));
}

/** The header that carries a token. */
export const bearer = (token: string): { headers: Record<string, string> } => ({
  headers: { authorization: `Bearer ${token}` },
});

/** The subprotocols that carry a token. */
export const bearerProtocol = (token: string): { protocols: string[] } => ({
  protocols: ['progress.v1', `bearer.${token}`],
});

/** A host of public keys. It serves them, or holds every request unanswered; and it can be away. */
export class KeyHost implements AsyncDisposable {
  mode: 'serve' | 'hold' = 'serve';
  requests = 0;
  #port = 0;
  readonly #held: ServerResponse[] = [];

  private constructor(
    private readonly server: ReturnType<typeof createServer>,
    private readonly key: CryptoKey,
    private readonly jwks: string,
  ) {
    server.on('request', (_request, response: ServerResponse) => {
      this.requests += 1;
      if (this.mode === 'hold') this.#held.push(response);
      else this.#answer(response);
    });
  }

  static async start(mode: KeyHost['mode'] = 'serve'): Promise<KeyHost> {
    const { publicKey, privateKey } = await generateKeyPair('ES256');
    const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256', use: 'sig' };
    const server = createServer();
    const host = new KeyHost(server, privateKey, JSON.stringify({ keys: [jwk] }));
    host.mode = mode;
    await host.up();
    return host;
  }

  /** Listens, on the port that it had before. */
  async up(): Promise<void> {
    this.server.listen(this.#port, '127.0.0.1');
    await once(this.server, 'listening');
    this.#port = (this.server.address() as AddressInfo).port;
  }

  /** Listens no more, and cuts who is connected. */
  async down(): Promise<void> {
    this.server.closeAllConnections();
    if (this.server.listening) await new Promise((resolve) => this.server.close(resolve));
  }

  /** The settings of an edge that takes this host's tokens. */
  get env(): Record<string, string> {
    return {
      HEADWAY_AUTH: 'jwt',
      HEADWAY_JWKS_URL: `http://127.0.0.1:${this.#port}/keys`,
      HEADWAY_JWT_TOLERANCE_SECONDS: '0',
    };
  }

  async mint(claims: Record<string, unknown>): Promise<string> {
    return await new SignJWT({ exp: inSeconds(3_600), ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'one' })
      .sign(this.key);
  }

  /** Serves again, those who were kept waiting first. */
  release(): void {
    this.mode = 'serve';
    for (const response of this.#held.splice(0)) this.#answer(response);
  }

  #answer(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/jwk-set+json' }).end(this.jwks);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }
}

/** Nobody is connected any more, and nobody's token is being checked. */
export async function everybodyIsGone(http: string): Promise<void> {
  const counts = async () =>
    (await metric(http, 'headway_connections_unauthenticated')) + (await metric(http, 'headway_connections'));
  await waitFor(async () => (await counts()) === 0, { what: 'everybody to be gone' });
}

/** Connects, and waits for the edge to close; what it sent, and how it closed. */
export async function refusal(
  url: string,
  options: WsOptions = {},
): Promise<{ frames: Frame[]; code: number; reason: string; protocol: string }> {
  await using client = await WsClient.connect(url, options);
  const { code, reason } = await client.ended();
  return { frames: client.frames, code, reason, protocol: client.protocol };
}
