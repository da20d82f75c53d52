import type { MsgHdrs, MsgHdrsImpl } from 'nats';
import { InvalidEventError } from './errors.js';

/** What the headers of a job's events have in common. */
export interface HeaderBase {
  readonly processingId: string;
  readonly traceparent: string | null;
  /** The CloudEvents `source`; null: no CloudEvents attributes. */
  readonly source: string | null;
}

/** What one event adds. */
export interface HeaderOwn {
  readonly msgId: string;
  /** The sequence that the subject's last message must have; 0: there is none. */
  readonly expected: number;
  readonly status: string;
  /** RFC 3339. */
  readonly timestamp: string;
}

// W3C Trace Context, version 00; later versions may have more behind it.
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?$/;
const PRINTABLE = /^[!-~]{1,2048}$/;
const DEFAULT_SOURCE = 'urn:headway:worker';

/** @throws InvalidEventError when a value does not fit into a header */
export function headerBase(
  processingId: string,
  traceparent: string | undefined,
  cloudEvents: boolean | { readonly source: string } | undefined,
): HeaderBase {
  if (traceparent !== undefined && !TRACEPARENT.test(traceparent)) {
    throw new InvalidEventError('/traceparent', 'is not a traceparent as in W3C Trace Context');
  }
  const source = typeof cloudEvents === 'object' ? cloudEvents.source : cloudEvents ? DEFAULT_SOURCE : null;
  if (source !== null && !PRINTABLE.test(source)) {
    throw new InvalidEventError('/cloudEvents/source', 'is not a URI: 1 to 2,048 printable ASCII characters');
  }
  return { processingId, traceparent: traceparent ?? null, source };
}

/**
 * The headers of one event. CloudEvents attributes are in binary mode: the body stays as it is.
 * https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md
 */
export function eventHeaders(base: HeaderBase, own: HeaderOwn): MsgHdrs {
  let text =
    `NATS/1.0\r\nNats-Msg-Id: ${own.msgId}` + `\r\nNats-Expected-Last-Subject-Sequence: ${own.expected}`;
  if (base.traceparent !== null) text += `\r\ntraceparent: ${base.traceparent}`;
  if (base.source !== null) {
    text +=
      `\r\nce-specversion: 1.0\r\nce-id: ${own.msgId}\r\nce-source: ${base.source}` +
      `\r\nce-type: headway.progress.${own.status}\r\nce-subject: ${base.processingId}` +
      `\r\nce-time: ${own.timestamp}\r\nce-datacontenttype: application/json`;
  }
  const written: Pick<MsgHdrsImpl, 'encode'> = new Written(`${text}\r\n\r\n`);
  return written as unknown as MsgHdrs;
}

// Everything in it is known to be printable ASCII, so it is written as it is. Filling the package's own headers one by
// one would take several times as long; of what it publishes with, the package asks nothing but this.
class Written {
  constructor(private readonly text: string) {}

  encode(): Uint8Array {
    return Buffer.from(this.text, 'latin1');
  }
}
