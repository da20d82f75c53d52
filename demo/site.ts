import { randomBytes, timingSafeEqual } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { Child } from './child.js';
import { Documents, type ShownDocument } from './documents.js';
import type { MortalEdge } from './edge.js';
import { EdgeLink } from './edge-link.js';
import { DemoError } from './errors.js';
import type { Nats } from './nats.js';
import type { DemoOptions } from './options.js';
import { Problem } from './problem.js';
import type { Screen } from './screen.js';
import { pageWith, type SiteFile, siteFiles } from './site-files.js';
import { plural } from './text.js';
import { documentName, receiveDocument } from './upload.js';
import type { Workers } from './workers.js';

/** What the page stands on. */
export interface SiteParts {
  readonly options: DemoOptions;
  readonly nats: Nats;
  readonly edge: MortalEdge;
  readonly workers: Workers;
  readonly screen: Screen;
  readonly signal: AbortSignal;
}

/** So long there is no edge when the page has killed it. */
const EDGE_AWAY_MS = 1_500;
/** So many bytes of a refused document are still read, so that its sender reads the answer. */
const READ_ON_BYTES = 64 * 1024 * 1024;
const MAX_UPLOADS = 4;

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; " +
  "frame-ancestors 'none'; require-trusted-types-for 'script'";
const HEADERS = {
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/**
 * The demo's page and what it talks to, on one address of this machine. It is for whoever sits there: other pages in the same
 * browser can neither read it nor have anything done (the names that it is asked by, `Origin`, and a secret in the page).
 */
export class Site implements AsyncDisposable {
  readonly #parts: SiteParts;
  readonly #server: Server;
  readonly #documents: Documents;
  readonly #link: EdgeLink;
  readonly #token = randomBytes(18).toString('base64url');
  readonly #files: ReadonlyMap<string, SiteFile>;
  /** Ends when the demo does, however that ends, and takes the folder of the documents with it. */
  readonly #keeper: Child;
  #uploads = 0;

  private constructor(parts: SiteParts, keeper: Child, server: Server) {
    this.#parts = parts;
    this.#keeper = keeper;
    this.#server = server;
    this.#files = new Map([...siteFiles(), ['/', pageWith(this.#token)]]);
    this.#link = new EdgeLink(() => parts.edge.port);
    const { nats, workers, screen, signal, options } = parts;
    this.#documents = new Documents({
      folder: join(keeper.folder ?? '', 'documents'),
      pageMs: options.uploadPageMs,
      ...{ nats, workers, signal },
      say: (text) => screen.notice(`--- ${text}`),
    });
    server.on('request', (request, response) => void this.#answer(request, response));
    server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** @throws DemoError, or the signal's reason; then nothing is left running */
  static async open(parts: SiteParts): Promise<Site> {
    const { options, signal } = parts;
    const keeper = await Child.start(
      {
        command: process.execPath,
        args: ['-e', 'setInterval(() => {}, 2 ** 30)'],
        env: process.env,
        folderPrefix: 'headway-demo-page-',
      },
      signal,
    );
    const server = createServer();
    try {
      await mkdir(join(keeper.folder ?? '', 'documents'), { mode: 0o700 });
      // Last: a page that is still open from before asks at once, and what it asks is answered from here on.
      await listen(server, options.sitePort);
      return new Site(parts, keeper, server);
    } catch (error) {
      server.close();
      await keeper.stop();
      throw error;
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  /** Documents that are processed anyway. */
  show(jobs: readonly ShownDocument[]): void {
    this.#documents.show(jobs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    this.#link[Symbol.dispose]();
    await this.#keeper.stop();
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      this.#checkHost(request);
      const path = new URL(request.url ?? '/', this.url).pathname;
      if (request.method === 'GET' || request.method === 'HEAD') this.#give(path, request, response);
      else if (request.method === 'POST') {
        this.#checkSender(request);
        reply(response, 200, await this.#do(path, request));
      } else
        throw new Problem(405, 'wrong_method', `${request.method} is not for this: expected GET or POST.`);
    } catch (error) {
      refuse(request, response, error);
    }
  }

  #give(path: string, request: IncomingMessage, response: ServerResponse): void {
    const file = this.#files.get(path);
    if (file !== undefined) {
      // Not every browser takes a WebSocket for its own by 'self'.
      const sockets = this.#names.map((name) => `ws://${name}`).join(' ');
      response.writeHead(200, {
        ...HEADERS,
        'content-type': file.type,
        'content-security-policy': `${POLICY}; connect-src 'self' ${sockets}`,
      });
      response.end(file.body);
    } else if (path === '/documents') {
      reply(response, 200, { documents: this.#documents.shown });
    } else if (path.startsWith('/v1/')) {
      const away = new Problem(503, 'edge_away', 'The edge is away: expected to be back in a moment.');
      this.#link.forward(request, response, () => refuse(request, response, away));
    } else throw new Problem(404, 'not_found', 'There is nothing here.');
  }

  async #do(path: string, request: IncomingMessage): Promise<unknown> {
    const { edge, workers, screen } = this.#parts;
    switch (path) {
      case '/documents':
        return await this.#upload(request);
      case '/samples':
        return { documents: await this.#documents.takeShipped() };
      case '/faults/cut': {
        const connections = this.#link.cut();
        if (connections === 0)
          throw new Problem(
            409,
            'no_connection',
            'There is no connection: expected a document to be followed.',
          );
        screen.notice(`--- The page has ${plural(connections, 'connection')} cut.`);
        return { connections };
      }
      case '/faults/kill-edge':
        if (!(await edge.kill(EDGE_AWAY_MS)))
          throw new Problem(409, 'edge_away', 'The edge is away already: expected to be back in a moment.');
        screen.notice('--- The page kills the edge (SIGKILL). Another one takes its place.');
        return { awayMs: EDGE_AWAY_MS };
      case '/faults/kill-worker': {
        const killed = await workers.killAll();
        if (killed === 0)
          throw new Problem(409, 'no_worker', 'No worker runs: expected a document to be processed.');
        screen.notice(
          `--- The page kills ${plural(killed, 'worker')} (SIGKILL). Another one goes on with each document.`,
        );
        return { workers: killed };
      }
      default:
        throw new Problem(404, 'not_found', 'There is nothing here.');
    }
  }

  async #upload(request: IncomingMessage): Promise<ShownDocument> {
    if (this.#uploads >= MAX_UPLOADS)
      throw new Problem(
        429,
        'too_many',
        `${this.#uploads} documents are on their way: expected at most that many.`,
      );
    const name = documentName(request.headers['x-file-name']);
    this.#uploads += 1;
    try {
      const taken = await this.#documents.take(name, (path) => receiveDocument(request, path, name));
      this.#parts.screen.notice(`--- The page brings ${taken.label}, ${plural(taken.pages ?? 0, 'page')}.`);
      return taken;
    } finally {
      this.#uploads -= 1;
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => {});
    try {
      this.#checkHost(request);
      if (!request.url?.startsWith('/ws/')) throw new Problem(404, 'not_found', 'There is nothing here.');
      this.#link.connect(request, socket, head);
    } catch (error) {
      const status = error instanceof Problem ? error.status : 500;
      socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\n\r\n`);
    }
  }

  /** Another name that leads here would make another page one of the same origin. */
  #checkHost({ headers }: IncomingMessage): void {
    if (!this.#names.includes(headers.host ?? ''))
      throw new Problem(421, 'wrong_host', `This is ${this.url}: expected it to be called that.`);
  }

  #checkSender({ headers }: IncomingMessage): void {
    const isOwn = this.#names.some((name) => headers.origin === `http://${name}` && headers.host === name);
    const token = Buffer.from(String(headers['x-demo-token'] ?? ''));
    const expected = Buffer.from(this.#token);
    if (!isOwn || token.length !== expected.length || !timingSafeEqual(token, expected))
      throw new Problem(
        403,
        'forbidden',
        'Only the demo’s own page may ask for this: open it, or reload it.',
      );
  }

  get #names(): readonly string[] {
    return [`127.0.0.1:${this.#port}`, `localhost:${this.#port}`];
  }
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { ...HEADERS, 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  const isOurs = error instanceof Problem;
  const problem = isOurs ? error : new Problem(500, 'internal', 'The demo could not do that.');
  const { status } = problem;
  response.writeHead(status, {
    ...HEADERS,
    'content-type': 'application/problem+json',
    ...(status === 429 && { 'retry-after': '2' }),
  });
  response.end(problem.body(STATUS_CODES[status] ?? 'Error'));
  if (!request.complete) readOn(request);
}

/** A sender that has more to send may not read the answer before. */
function readOn(request: IncomingMessage): void {
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > READ_ON_BYTES) request.destroy();
  });
  request.on('error', () => {});
  request.resume();
}

/** @throws DemoError when the port cannot be had */
async function listen(server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        new DemoError(
          `The page cannot listen on 127.0.0.1:${port} (${error.code}). The port is that of DEMO_PORT; without it a free one is taken.`,
        ),
      );
    });
    server.listen(port, '127.0.0.1', resolve);
  });
}
