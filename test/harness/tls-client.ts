/** Clients that trust one authority and tell which certificate they were shown. */
import { once } from 'node:events';
import { get } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { withTimeout } from './wait.js';

export interface Answer {
  status: number | undefined;
  body: string;
  /** The common name of the certificate. */
  name: string;
}

/** GET over a connection of its own; a client that trusts `ca` and nothing else. */
export async function askTls(port: number, ca: string, path = '/readyz'): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path, ca, agent: false }, (response) => {
      const name = nameOf(response.socket as TLSSocket);
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.once('end', () => resolve({ status: response.statusCode, body, name }));
    });
    request.once('error', reject);
    request.setTimeout(10_000, () => request.destroy(new Error('no answer within 10 s')));
  });
}

/** The common name of the certificate that the other side showed. */
export const nameOf = (socket: TLSSocket): string => String(socket.getPeerCertificate().subject.CN);

/** Follows a job over wss:// and keeps every sequence that it is sent. */
export class Wss {
  readonly seqs: number[] = [];
  readonly closed: Promise<number>;
  isOpen = true;
  /** The common name of the certificate that it got. */
  name = '';

  private constructor(socket: WebSocket) {
    socket.on('message', (data) => this.#take(String(data)));
    socket.on('error', () => {}); // 'close' follows
    this.closed = new Promise((resolve) => {
      socket.once('close', (code) => {
        this.isOpen = false;
        resolve(code);
      });
    });
  }

  static async connect(port: number, ca: string, job: string): Promise<Wss> {
    const url = `wss://127.0.0.1:${port}/ws/upload-progress/${job}`;
    const socket = new WebSocket(url, { ca, perMessageDeflate: false });
    onTestFinished(() => socket.terminate());
    const upgraded = once(socket, 'upgrade') as Promise<[{ socket: TLSSocket }]>;
    const client = new Wss(socket);
    const [[response]] = await withTimeout(Promise.all([upgraded, once(socket, 'open')]), 10_000, url);
    client.name = nameOf(response.socket);
    return client;
  }

  #take(text: string): void {
    const frame = JSON.parse(text) as { type: string; seq: number };
    if (frame.type === 'progress_update') this.seqs.push(frame.seq);
  }
}
