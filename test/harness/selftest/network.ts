/** Tests of the harness: the client that must not miss a frame, and the proxy that must. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { WebSocket } from 'ws';
import { HandshakeRefused, WsClient } from '../client.js';
import { startTcpProxy, type TcpProxy } from '../proxy.js';
import { waitFor, withTimeout } from '../wait.js';
import { startWsServer } from '../ws-server.js';

const send = (socket: WebSocket, frame: object) => socket.send(JSON.stringify(frame));
const update = (seq: number, fields: object = {}) => ({
  type: 'progress_update',
  seq,
  processing_id: 'a',
  ...fields,
});

describe('WsClient', () => {
  test('misses no frame, not even those sent in the turn of the upgrade', async () => {
    await using server = await startWsServer((socket) => {
      send(socket, { type: 'hello', epoch: 'e1' });
      for (let seq = 1; seq <= 3; seq += 1) send(socket, update(seq));
    });
    for (let round = 0; round < 200; round += 1) {
      await using client = await WsClient.connect(server.url);
      expect(await client.next('hello')).toEqual({ type: 'hello', epoch: 'e1' });
      expect((await client.updates(3)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
      expect(client.epoch).toBe('e1');
    }
  });

  test('follows the cursor, starts over at a reset, and names what came instead', async () => {
    await using server = await startWsServer((socket) => {
      send(socket, { type: 'hello', epoch: 'e1' });
      send(socket, update(7));
      send(socket, update(5, { processing_id: 'b' }));
      send(socket, { type: 'caught_up', cursor: 9 });
      send(socket, { type: 'heartbeat', cursor: 8 });
      socket.on('message', (text) => {
        send(socket, { type: 'reset', epoch: 'e2' });
        send(socket, update(2));
        socket.send(text, { binary: false });
        socket.send(Buffer.of(1));
        socket.close(4400, 'enough');
      });
    });
    await using client = await WsClient.connect(server.url);
    await client.until((frame) => frame.type === 'heartbeat');
    expect([client.cursor, client.epoch, client.seen('b').length]).toEqual([9, 'e1', 1]);
    client.send({ type: 'ping' });
    await client.next('reset');
    await client.next();
    expect([client.cursor, client.epoch]).toEqual([2, 'e2']);
    await expect(client.next('pong')).rejects.toThrow(
      /wanted pong next, but got \{"type":"ping"\}[\s\S]*"e1"[\s\S]*"e2"/,
    );
    expect((await client.next()).type).toBe('(unreadable)');
    await expect(client.next()).rejects.toThrow('closed with {"code":4400,"reason":"enough"}');
    expect(await client.closed).toEqual({ code: 4400, reason: 'enough' });
  });

  test('waits no longer than told, and shows what it has', async () => {
    await using server = await startWsServer((socket) => send(socket, { type: 'hello' }));
    await using client = await WsClient.connect(server.url, { protocols: 'progress.v1' });
    expect(client.protocol).toBe('progress.v1');
    await expect(client.updates(1, { timeoutMs: 30 })).rejects.toThrow(
      /waited 30 ms for 1 updates[\s\S]*"hello"/,
    );
    client.drop();
    expect(await client.closed).toMatchObject({ code: 1006 });
  });

  test('says with which answer it was refused', async () => {
    const server = createServer((_request, response) => response.writeHead(403).end('too short'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const refused: unknown = await WsClient.connect(`ws://127.0.0.1:${port}`).catch((error) => error);
    expect(refused).toBeInstanceOf(HandshakeRefused);
    expect(refused).toMatchObject({ status: 403, body: 'too short' });
  });

  test('that does not read fills the buffers of the server, and loses nothing', async () => {
    const sockets: WebSocket[] = [];
    await using server = await startWsServer((socket) => sockets.push(socket));
    await using client = await WsClient.connect(server.url);
    client.pauseReading();
    const total = 3_000;
    for (let seq = 1; seq <= total; seq += 1)
      for (const socket of sockets) send(socket, update(seq, { pad: 'x'.repeat(10_000) }));
    await waitFor(() => client.received > 0 || (sockets[0]?.bufferedAmount ?? 0) > 1_000_000, {
      what: 'full buffers',
    });
    expect(client.received).toBeLessThan(50);
    client.resumeReading();
    expect((await client.updates(total)).map(({ seq }) => seq)).toEqual(
      Array.from({ length: total }, (_, i) => i + 1),
    );
  });

  test('is cheap: a thousand at once, each with every frame', async () => {
    const sockets: WebSocket[] = [];
    await using server = await startWsServer((socket) => sockets.push(socket));
    const clients = await Promise.all(
      Array.from({ length: 1_000 }, () => WsClient.connect(server.url, { keep: false })),
    );
    const done = clients.map((client) => client.until((frame) => frame.seq === 20));
    for (let seq = 1; seq <= 20; seq += 1) for (const socket of sockets) send(socket, update(seq));
    await Promise.all(done);
    expect(clients.every((client) => client.received === 20 && client.frames.length === 0)).toBe(true);
    await Promise.all(clients.map((client) => client.close()));
  });
});

describe('TCP proxy', () => {
  const echo = (socket: WebSocket) => socket.on('message', (text) => socket.send(text, { binary: false }));
  const through = (proxy: TcpProxy) => WsClient.connect(`ws://${proxy.host}`);

  test.each(['reset', 'fin'] as const)('cuts by %s what exists, and takes new connections', async (how) => {
    await using server = await startWsServer(echo);
    await using proxy = await startTcpProxy(server.port);
    await using first = await through(proxy);
    await using other = await through(proxy);
    expect([proxy.connections, proxy.accepted]).toEqual([2, 2]);
    proxy.cut(how);
    expect([(await first.closed).code, (await other.closed).code]).toEqual([1006, 1006]);
    await waitFor(() => proxy.connections === 0, { what: 'the proxy to forget them' });
    await using second = await through(proxy);
    second.send({ type: 'again' });
    await second.next('again');
  });

  test('refuses new connections and keeps the old, until it accepts again on its port', async () => {
    await using server = await startWsServer(echo);
    await using proxy = await startTcpProxy(server.port);
    await using old = await through(proxy);
    const { port } = proxy;
    proxy.refuse();
    await expect(through(proxy)).rejects.toThrow('ECONNREFUSED');
    old.send({ type: 'still' });
    await old.next('still');
    await proxy.accept();
    expect(proxy.port).toBe(port);
    await using _second = await through(proxy);
  });

  test('stalls without closing, in one direction or both, and then forwards all of it in order', async () => {
    await using server = await startWsServer(echo);
    await using proxy = await startTcpProxy(server.port);
    await using client = await through(proxy);
    proxy.stall('down');
    // More than the proxy holds by itself: the rest waits in the kernel's buffers and in the sender.
    for (let n = 0; n < 1_000; n += 1) client.send({ type: 'n', n, pad: 'x'.repeat(2_000) });
    await expect(client.next('n', { timeoutMs: 100 })).rejects.toThrow('(none)');
    proxy.flow();
    const frames = await client.until((frame) => frame.n === 999);
    expect(frames.map((frame) => frame.n)).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
  });

  test('hides even the death of the other side while stalled', async () => {
    const server = await startWsServer(echo);
    await using proxy = await startTcpProxy(server.port);
    await using client = await through(proxy);
    proxy.stall();
    await server[Symbol.asyncDispose]();
    await expect(withTimeout(client.closed, 100, 'noticing')).rejects.toThrow('noticing');
    proxy.flow();
    expect((await client.closed).code).toBe(1006);
  });

  test('delays without mixing up the order, also when the delay changes', async () => {
    await using server = await startWsServer(echo);
    await using proxy = await startTcpProxy(server.port);
    await using client = await through(proxy);
    const begin = performance.now();
    proxy.delay(80);
    client.send({ type: 'slow' });
    await client.next('slow');
    expect(performance.now() - begin).toBeGreaterThan(155);
    proxy.delay(100, 'down');
    client.send({ type: 'first' });
    await waitFor(() => client.received === 2, { what: 'the first after a change' });
    proxy.delay(0);
    client.send({ type: 'second' });
    await client.next('first');
    await client.next('second');
  });

  test('splits what it forwards into pieces of the given size', async () => {
    const sizes: number[] = [];
    await using server = await startWsServer((socket, request) => {
      request.socket.on('data', (bytes) => sizes.push(bytes.length));
      echo(socket);
    });
    await using proxy = await startTcpProxy(server.port);
    await using client = await through(proxy);
    proxy.splitBytes(1);
    client.send({ type: 'pieces', pad: 'é'.repeat(200) });
    await client.next('pieces');
    // Neighbours may still meet in the kernel, so this is not exactly one each.
    expect(sizes.length).toBeGreaterThan(100);
  });

  test('passes the refusal of its target on as a reset', async () => {
    const server = await startWsServer(echo);
    await using proxy = await startTcpProxy(server.port);
    await server[Symbol.asyncDispose]();
    await expect(through(proxy)).rejects.toThrow(/ECONNRESET|socket hang up/);
  });
});

describe('waiting', () => {
  test('tells what was waited for and what was seen last', async () => {
    const never = { what: 'the moon', timeoutMs: 30, everyMs: 5 };
    await expect(waitFor(() => false, never)).rejects.toThrow('waited 30 ms for the moon; last seen: false');
    const failing = () => Promise.reject(new Error('clouds'));
    await expect(waitFor(failing, never)).rejects.toThrow('waited 30 ms for the moon; last error: clouds');
    const hanging = () => new Promise<boolean>(() => {});
    await expect(waitFor(hanging, never)).rejects.toThrow('for the moon');
    await expect(waitFor(() => false, { ...never, giveUp: () => 'it is day' })).rejects.toThrow('it is day');
    expect(await waitFor(() => 'here', never)).toBe('here');
  });
});
