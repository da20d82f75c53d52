/** Edges behind a reverse proxy, on one nats-server, and clients that come through it. */
import { request } from 'node:https';
import { Authority, type Certified } from './certificates.js';
import { WsClient, type WsOptions } from './client.js';
import { type EdgeProcess, startEdgeProcess } from './edge-process.js';
import { freePorts } from './free-ports.js';
import { type ProxyName, type ReverseProxy, startReverseProxy } from './reverse-proxy.js';
import { withTimeout } from './wait.js';
import { guardedFolder } from './watchdog.js';

/** The limits as an edge has them by itself. The harness sets these to 0, since its clients come from one address. */
export const DEFAULT_LIMITS = {
  HEADWAY_MAX_CONNECTIONS_PER_ADDRESS: undefined,
  HEADWAY_MAX_UPGRADES_PER_ADDRESS: undefined,
  HEADWAY_MAX_PENDING_READS_PER_SUBJECT: undefined,
  HEADWAY_MAX_HTTP_SOCKETS_PER_ADDRESS: undefined,
} as const;

/** A certificate for 127.0.0.1 and who signed it. */
export interface Site extends Certified {
  readonly ca: string;
}

export async function makeSite(): Promise<Site> {
  const folder = await guardedFolder('headway-authority');
  try {
    const authority = await Authority.create(folder.path);
    return { ...(await authority.issue('a proxy')), ca: authority.pem };
  } finally {
    await folder.remove();
  }
}

export interface ProxiedOptions {
  proxy: ProxyName;
  site: Site;
  natsUrl: string;
  /** 1: both addresses in the proxy's file are of the same edge. */
  edges?: 1 | 2;
  env?: Record<string, string | undefined>;
  idleSeconds?: number;
}

/** What an HTTP request through the proxy got. */
export interface HttpAnswer {
  status: number;
  headers: Record<string, unknown>;
  body: string;
}

export class ProxiedEdges implements AsyncDisposable {
  private constructor(
    readonly edges: EdgeProcess[],
    readonly proxy: ReverseProxy,
    private readonly options: ProxiedOptions,
  ) {}

  static async start(options: ProxiedOptions): Promise<ProxiedEdges> {
    const { proxy: name, site, idleSeconds, edges: count = 2 } = options;
    const edges: EdgeProcess[] = [];
    try {
      // Ports that are named, as users name them: one that the system chose cannot be taken again at once.
      for (const port of await freePorts(count)) edges.push(await startProxiedEdge(options, port));
      const [first, second = first] = edges.map(({ port }) => port);
      const proxy = await startReverseProxy(name, {
        edges: [first as number, second as number],
        ...site,
        ...(idleSeconds !== undefined && { idleSeconds }),
      });
      return new ProxiedEdges(edges, proxy, options);
    } catch (error) {
      for (const edge of edges) await edge.kill();
      throw error;
    }
  }

  /** Puts a new edge into the place of one that is gone, on the same port. */
  async replace(index: number): Promise<void> {
    const port = this.edges[index]?.port;
    if (port === undefined) throw new Error(`there is no edge ${index}`);
    this.edges[index] = await startProxiedEdge(this.options, port);
  }

  async connect(path: string, options: WsOptions = {}): Promise<WsClient> {
    return await WsClient.connect(this.proxy.wss + path, { ca: this.options.site.ca, ...options });
  }

  async ask(path: string, method = 'GET', headers: Record<string, string> = {}): Promise<HttpAnswer> {
    const answer = new Promise<HttpAnswer>((resolve, reject) => {
      const { ca } = this.options.site;
      const asked = request(this.proxy.https + path, { method, headers, ca, agent: false }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        response.once('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        );
      });
      asked.once('error', reject).end();
    });
    return await withTimeout(answer, 10_000, `${method} ${path}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    for (const edge of this.edges) await edge.kill();
  }
}

async function startProxiedEdge({ natsUrl, env = {} }: ProxiedOptions, port: number): Promise<EdgeProcess> {
  return await startEdgeProcess({
    natsUrl,
    port,
    env: { HEADWAY_TRUSTED_PROXIES: '127.0.0.1', HEADWAY_HEARTBEAT_MS: '500', ...env },
  });
}
