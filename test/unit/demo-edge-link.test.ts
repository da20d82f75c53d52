/** The way of the demo's page to an edge that is killed while it answers. */
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { EdgeLink } from '../../demo/edge-link.js';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** What comes of a request through the link: the whole answer, or how it ended before. */
async function ask(port: number): Promise<string> {
  return await new Promise((resolve) => {
    const asked = request({ host: '127.0.0.1', port, path: '/v1/jobs/a/events' }, (answer) => {
      let body = '';
      answer.on('data', (piece) => {
        body += piece;
      });
      answer.on('error', () => resolve('broken off'));
      answer.on('end', () => resolve(`${answer.statusCode} ${body}`));
    });
    asked.on('error', () => resolve('broken off'));
    asked.end();
  });
}

async function linkTo(edge: Server): Promise<number> {
  const edgePort = await listen(edge);
  const link = new EdgeLink(() => edgePort);
  return await listen(
    createServer((incoming, response) =>
      link.forward(incoming, response, () => response.writeHead(503).end('away')),
    ),
  );
}

test('an answer comes through as it is', async () => {
  const port = await linkTo(createServer((_request, response) => response.end('{"events":[]}')));
  expect(await ask(port)).toBe('200 {"events":[]}');
});

test('an answer that the edge does not finish is broken off, and not waited for', async () => {
  const port = await linkTo(
    createServer((incoming, response) => {
      response.writeHead(200, { 'content-length': '100' });
      // As the system ends the connections of a process that is killed.
      response.write('{"events":[', () => incoming.socket.end());
    }),
  );
  expect(await ask(port)).toBe('broken off');
});
