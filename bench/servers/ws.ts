/** The package `ws`: each update is made into text once, and sent to each client. */
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { frameOf } from '../harness/payload.js';
import { type SubjectCommand, serve } from '../harness/subject.js';

const followers = new Map<string, Set<WebSocket>>();
let made = 0;

function act(command: SubjectCommand): void {
  if (command.kind !== 'publish') throw new Error(`ws does not ${command.kind}`);
  const { job, count } = command;
  const frames = Array.from({ length: count }, () => Buffer.from(frameOf(job, made++)));
  for (const client of followers.get(job) ?? [])
    for (const frame of frames) client.send(frame, { binary: false });
}

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, backlog: 1_024 });
server.on('connection', (client, request) => {
  const job = (request.url ?? '').slice(1);
  const clients = followers.get(job) ?? new Set();
  followers.set(job, clients.add(client));
  client.on('close', () => clients.delete(client));
});
server.on('listening', () => serve((server.address() as AddressInfo).port, act));
