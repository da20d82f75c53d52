/** Socket.IO over WebSocket, with connection state recovery: each job is a room. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server } from 'socket.io';
import { frameOf } from '../harness/payload.js';
import { serve } from '../harness/subject.js';

const http = createServer();
const io = new Server(http, {
  transports: ['websocket'],
  connectionStateRecovery: { maxDisconnectionDuration: 120_000 },
  // The clients of a measurement answer no pings.
  pingInterval: 600_000,
});
io.on('connection', (socket) => void socket.join(String(socket.handshake.query.job)));

let made = 0;
http.listen({ host: '127.0.0.1', port: 0, backlog: 1_024 }, () =>
  serve((http.address() as AddressInfo).port, (command) => {
    if (command.kind !== 'publish') throw new Error(`socket-io does not ${command.kind}`);
    for (let i = 0; i < command.count; i++)
      io.to(command.job).emit('update', JSON.parse(frameOf(command.job, made++)));
  }),
);
