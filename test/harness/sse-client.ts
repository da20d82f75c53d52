import { type IncomingMessage, request } from 'node:http';
import { request as requestTls } from 'node:https';
import { createGunzip } from 'node:zlib';
import type { ServerFrame } from '../../schemas/frames.js';
import { waitFor } from './wait.js';

/**
 * Reads an event stream as a browser's EventSource does: the fields of the HTML standard, 9.2.6, and nothing else. It keeps
 * `lastEventId` and comes back only when it is told to.
 */
export class SseClient implements Disposable {
  readonly frames: ServerFrame[] = [];
  readonly comments: string[] = [];
  status = 0;
  headers: IncomingMessage['headers'] = {};
  /** What came instead of a stream. */
  body = '';
  lastEventId = '';
  /** So many of `frames` the last id covers. */
  covered = 0;
  retryMs: number | null = null;
  isClosed = false;
  /** The stream was ended as HTTP says, and not cut off. */
  isWhole = false;
  #response: IncomingMessage | null = null;
  readonly #request;
  #text = '';
  #data: string[] = [];
  #id = '';

  /** @param ca who signed the certificate of an https address */
  constructor(url: string, headers: Record<string, string> = {}, ca?: string) {
    this.#id = headers['last-event-id'] ?? '';
    this.lastEventId = this.#id;
    const options = { headers: { accept: 'text/event-stream', ...headers }, agent: false } as const;
    this.#request = ca === undefined ? request(url, options) : requestTls(url, { ...options, ca });
    this.#request.on('response', (response) => {
      this.#response = response;
      this.status = response.statusCode ?? 0;
      this.headers = response.headers;
      const isGzip = response.headers['content-encoding'] === 'gzip';
      const text = isGzip ? response.pipe(createGunzip()) : response;
      text.setEncoding('utf8');
      text.on('data', (piece: string) => this.#read(piece));
      text.on('error', () => undefined);
      response.on('close', () => {
        this.isWhole = response.complete;
        this.isClosed = true;
      });
      response.on('error', () => undefined);
    });
    this.#request.on('error', () => {
      this.isClosed = true;
    });
    this.#request.end();
  }

  pause(): void {
    this.#response?.pause();
  }
  resume(): void {
    this.#response?.resume();
  }

  /** Waits for the first frame of a type. */
  async frame<T extends ServerFrame['type']>(type: T): Promise<Extract<ServerFrame, { type: T }>> {
    const find = () => this.frames.find((frame) => frame.type === type);
    return (await waitFor(find, { what: `a frame ${type}` })) as Extract<ServerFrame, { type: T }>;
  }

  get updates(): number[] {
    return this.frames.flatMap((frame) => (frame.type === 'progress_update' ? [frame.seq] : []));
  }

  async closed(): Promise<void> {
    await waitFor(() => this.isClosed, { what: 'the stream to end' });
  }

  [Symbol.dispose](): void {
    this.#request.destroy();
  }

  #read(text: string): void {
    if (!String(this.headers['content-type']).startsWith('text/event-stream')) {
      this.body += text;
      return;
    }
    this.#text += text;
    const lines = this.#text.split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    if (line === '') {
      const isNew = this.lastEventId !== this.#id;
      this.lastEventId = this.#id;
      if (this.#data.length > 0) this.frames.push(JSON.parse(this.#data.join('\n')) as ServerFrame);
      if (isNew) this.covered = this.frames.length;
      this.#data = [];
      return;
    }
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    switch (field) {
      case '':
        this.comments.push(value);
        return;
      case 'data':
        this.#data.push(value);
        return;
      case 'id':
        this.#id = value;
        return;
      case 'retry':
        this.retryMs = Number(value);
        return;
    }
  }
}
