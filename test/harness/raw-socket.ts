/** TCP by hand, for what no library would send: broken HTTP, half a handshake, WebSocket frames against the rules. */
import { connect, type Socket } from 'node:net';
import { withTimeout } from './wait.js';

/** HTTP and WebSocket bytes as text hold one byte in each character (Latin-1). */
export type RawBytes = string | Buffer;

const bytesOf = (bytes: RawBytes): Buffer =>
  typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;

/** A connection that sends what it is told and keeps everything that comes back. */
export class RawSocket implements AsyncDisposable {
  /** Resolves when the connection is gone, whoever ended it; never rejects. */
  readonly closed: Promise<void>;
  #isClosed = false;
  #chunks: Buffer[] = [];
  #wake: (() => void) | undefined;

  private constructor(private readonly socket: Socket) {
    socket.on('error', () => {}); // 'close' follows
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#wake?.();
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#isClosed = true;
        resolve();
        this.#wake?.();
      });
    });
  }

  /**
   * Connects to this port of this machine, and sends `bytes` when there are any.
   * @param from the address that it comes from, such as 127.0.0.2 (on Linux)
   */
  static async connect(port: number, bytes?: RawBytes, from?: string): Promise<RawSocket> {
    const socket = connect({ host: '127.0.0.1', port, ...(from !== undefined && { localAddress: from }) });
    const raw = new RawSocket(socket);
    const connected = new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    await withTimeout(connected, 10_000, 'connecting');
    if (bytes !== undefined) raw.send(bytes);
    return raw;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Everything that came so far. */
  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Everything that came so far, one character for each byte. */
  get text(): string {
    return this.received.toString('latin1');
  }

  /** Does nothing when the connection is gone. */
  send(bytes: RawBytes): void {
    if (!this.#isClosed) this.socket.write(bytesOf(bytes));
  }

  /** Waits until `predicate` holds for what came, or the connection is gone, and returns what came. */
  async until(predicate: (text: string) => boolean, timeoutMs = 10_000): Promise<string> {
    const end = async (): Promise<void> => {
      while (!this.#isClosed && !predicate(this.text)) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    };
    await withTimeout(end(), timeoutMs, `an answer (so far: ${JSON.stringify(this.text.slice(0, 300))})`);
    return this.text;
  }

  /** Waits until the connection is gone, and returns what came. */
  async gone(timeoutMs = 10_000): Promise<string> {
    return await this.until(() => false, timeoutMs);
  }

  /** Says that nothing more will be sent (FIN); what comes is still read. */
  finish(): void {
    this.socket.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }
}

/** The head of a WebSocket handshake without the empty line that would end it. */
export function handshakeStart(path: string, headers = ''): string {
  return (
    `GET ${path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${headers}`
  );
}

/** A whole WebSocket handshake. */
export const handshake = (path: string, headers = ''): string => `${handshakeStart(path, headers)}\r\n`;

export const OPCODE = {
  continuation: 0x0,
  text: 0x1,
  binary: 0x2,
  close: 0x8,
  ping: 0x9,
  pong: 0xa,
} as const;

export interface RawFrame {
  /** 0 to 15. */
  opcode: number;
  payload?: RawBytes;
  /** false: more pieces follow. */
  fin?: boolean;
  /** The three reserved bits, 0 to 7. */
  rsv?: number;
  /** false: against the rules for a client. The mask is all zeros, so that the payload can be read in a dump. */
  masked?: boolean;
  /** What the header says, when that is not the payload's length. */
  length?: bigint;
  /** Write the length in 16 or 64 bits although it would fit in fewer. */
  lengthBits?: 16 | 64;
}

/** A client's WebSocket frame, as right or as wrong as it is described. */
export function rawFrame(frame: RawFrame): Buffer {
  const { opcode, fin = true, rsv = 0, masked = true, lengthBits } = frame;
  const payload = bytesOf(frame.payload ?? '');
  const length = frame.length ?? BigInt(payload.length);
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  const mask = masked ? 0x80 : 0;
  let head: Buffer;
  if (lengthBits === 64 || length > 0xffffn) {
    head = Buffer.from([first, mask | 127, 0, 0, 0, 0, 0, 0, 0, 0]);
    head.writeBigUInt64BE(length, 2);
  } else if (lengthBits === 16 || length > 125n) {
    head = Buffer.from([first, mask | 126, 0, 0]);
    head.writeUInt16BE(Number(length), 2);
  } else {
    head = Buffer.from([first, mask | Number(length)]);
  }
  return Buffer.concat([head, Buffer.alloc(masked ? 4 : 0), payload]);
}

/** A close frame's payload. */
export function closePayload(code: number, reason: RawBytes = ''): Buffer {
  return Buffer.concat([Buffer.from([code >> 8, code & 0xff]), bytesOf(reason)]);
}

/** The whole WebSocket frames that a server sent behind its answer to the handshake; a cut one is left out. */
export function serverFrames(received: Buffer): { opcode: number; payload: Buffer }[] {
  const frames: { opcode: number; payload: Buffer }[] = [];
  const end = received.indexOf('\r\n\r\n');
  if (end < 0 || !received.toString('latin1', 0, 12).startsWith('HTTP/1.1 101')) return frames;
  let at = end + 4;
  while (received.length >= at + 2) {
    const short = received.readUInt8(at + 1) & 0x7f;
    const wide = short === 126 ? 2 : short === 127 ? 8 : 0;
    if (received.length < at + 2 + wide) break;
    const length =
      wide === 2
        ? received.readUInt16BE(at + 2)
        : wide === 8
          ? Number(received.readBigUInt64BE(at + 2))
          : short;
    const start = at + 2 + wide;
    if (received.length < start + length) break;
    frames.push({ opcode: received.readUInt8(at) & 0x0f, payload: received.subarray(start, start + length) });
    at = start + length;
  }
  return frames;
}
