/** A server that gives out the page with the client, and tokens. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { bundleClient } from './bundle.js';

export class ClientHost implements AsyncDisposable {
  /** What `/token` answers; null: 401. Throws: 503. */
  token: () => Promise<string | null> = async () => null;

  private constructor(
    private readonly server: Server,
    private readonly modules: ReadonlyMap<string, string>,
  ) {
    server.on('request', async ({ url = '/' }, answer) => {
      const code = this.modules.get(url.slice(1));
      if (code !== undefined) {
        answer.writeHead(200, { 'content-type': 'text/javascript' }).end(code);
      } else if (url === '/token') {
        const token = await this.token().catch(() => undefined);
        answer.writeHead(token === undefined ? 503 : token === null ? 401 : 200).end(token ?? '');
      } else if (url === '/elsewhere') {
        answer.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Elsewhere</title>');
      } else if (url === '/') {
        answer.writeHead(200, { 'content-type': 'text/html' });
        // An icon that is none: Chromium would ask for one, and complain.
        answer.end(
          '<!doctype html><title>Jobs</title><link rel="icon" href="data:,"><script type="module" src="/main.js"></script>',
        );
      } else answer.writeHead(404).end();
    });
  }

  /** @param withPage false: only tokens */
  static async start(withPage = true): Promise<ClientHost> {
    const modules = withPage ? await bundleClient('page') : new Map<string, string>();
    const server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return new ClientHost(server, modules);
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
