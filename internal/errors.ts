/**
 * Everything that stops a Headway program, in one list. Each is told to the operator as one paragraph (what is
 * wrong, where, what to do) and an exit code, never as a stack trace.
 */
export abstract class HeadwayError extends Error {
  abstract readonly code: string;
  /** The process's exit code; 2 for a mistake in the configuration, else 1. */
  readonly exitCode: number = 1;

  override get name(): string {
    return this.constructor.name;
  }
}

export class ConfigError extends HeadwayError {
  readonly code = 'config';
  override readonly exitCode = 2;
  /** @param problems each begins with the variable that holds what is wrong */
  constructor(readonly problems: readonly string[]) {
    const list = problems.map((problem) => `\n  - ${problem}`).join('');
    super(`The configuration is not valid; mend the environment and start again:${list}`);
  }
}

export class RuntimeUnsupportedError extends HeadwayError {
  readonly code = 'runtime_unsupported';
  /**
   * @param system platform, processor and C library
   * @param mend why it does not fit, and what to do, in whole sentences
   * @param detail what the loader said, if it was asked
   */
  constructor(node: string, system: string, mend: string, detail?: string) {
    super(
      `uWebSockets.js has no binary for Node v${node} on ${system}. Headway carries binaries for Node 20 and 22 (on ` +
        'Linux with glibc 2.27 or newer) and for Node 24 (on Linux with glibc 2.38 or newer), both also for macOS and ' +
        `Windows. ${mend}${detail === undefined ? '' : ` The loader said: ${detail}`}`,
    );
  }
}

export class PortInUseError extends HeadwayError {
  readonly code = 'port_in_use';
  /** @param setting holds both; unset: HEADWAY_HOST and HEADWAY_PORT do */
  constructor(host: string, port: number, setting?: string) {
    const mend =
      setting === undefined
        ? 'HEADWAY_PORT (0 takes a free port) or HEADWAY_HOST'
        : `${setting} (with port 0 it takes a free one)`;
    super(
      `Cannot listen on ${host}:${port}: the port is taken by another program, or the host is no address or name ` +
        `of this machine, or the port needs privileges (below 1024). Stop the other program, or set ${mend}.`,
    );
  }
}

export class TlsFilesError extends HeadwayError {
  readonly code = 'tls_files';
  override readonly exitCode = 2;
  /** What is wrong, by variable and file; never what is in the files. */
  readonly problem: string;
  constructor(problems: readonly string[]) {
    const problem = problems.join('; ');
    super(
      `Cannot serve TLS: ${problem}. Set HEADWAY_TLS_CERT and HEADWAY_TLS_KEY to PEM files that hold a certificate ` +
        '(chain) and its private key, or set neither and leave TLS to a proxy.',
    );
    this.problem = problem;
  }
}

export class NatsUnreachableError extends HeadwayError {
  readonly code = 'nats_unreachable';
  /** @param remedy what to do about it, where that is known better than to start a server or to name another */
  constructor(url: string, detail: string, remedy?: string) {
    super(
      `Cannot reach NATS at ${url} (${detail}). ${
        remedy ??
        "Start a nats-server 2.10 or newer with JetStream (nats-server -js), or set NATS_URL, or headway's --server, to where it is."
      }`,
    );
  }
}

export class NatsAuthError extends HeadwayError {
  readonly code = 'nats_unauthorized';
  /** @param detail why: the credentials as such, or what they do not permit */
  constructor(url: string, detail: string) {
    super(
      detail === 'authorization violation'
        ? `NATS at ${url} refused the credentials (${detail}). Set NATS_CREDS to a credentials file of an account ` +
            'that may use JetStream, or put user and password into NATS_URL.'
        : `NATS at ${url} took the credentials, and does not permit this with them (${detail}). docs/nats/README.md ` +
            'lists what each role needs: use the credentials of one that may, or add the permission.',
    );
  }
}

export class NatsVersionError extends HeadwayError {
  readonly code = 'nats_too_old';
  constructor(url: string, version: string) {
    super(
      `The nats-server at ${url} is version ${version}; Headway needs 2.10 or newer. Debian bookworm's own package ` +
        'is older: install a newer one, or set NATS_URL to a newer server.',
    );
  }
}

export class JetStreamUnavailableError extends HeadwayError {
  readonly code = 'jetstream_unavailable';
  constructor(url: string, detail: string) {
    super(
      `The nats-server at ${url} has no JetStream for this account (${detail}). Start it with JetStream ` +
        '(nats-server -js, or a jetstream block in its configuration) and enable it for the account.',
    );
  }
}

/** One field of an existing stream that differs from what Headway relies on. */
export interface StreamDifference {
  readonly field: string;
  readonly is: unknown;
  readonly shouldBe: unknown;
}

export class StreamMismatchError extends HeadwayError {
  readonly code = 'stream_mismatch';
  constructor(
    stream: string,
    readonly differences: readonly StreamDifference[],
  ) {
    const list = differences
      .map(
        ({ field, is, shouldBe }) =>
          `\n  - ${field} is ${JSON.stringify(is)}; it should be ${JSON.stringify(shouldBe)}`,
      )
      .join('');
    super(
      `The stream ${stream} exists, but not as Headway needs it. Headway never changes a stream that exists: edit it ` +
        `(nats stream edit ${stream}; headway doctor names the flags), or set HEADWAY_STREAM to another name:${list}`,
    );
  }
}

export class EdgeIdConflictError extends HeadwayError {
  readonly code = 'edge_id_taken';
  constructor(edgeId: string) {
    super(
      `Another edge runs under the id ${edgeId}; two edges must not share one, since they would take each other's ` +
        'events. Give each its own HEADWAY_EDGE_ID, or leave it unset. An edge that was just stopped frees its id ' +
        'within a few seconds.',
    );
  }
}

export class StreamConflictError extends HeadwayError {
  readonly code = 'stream_conflict';
  constructor(stream: string, detail: string) {
    super(
      `Cannot make the stream ${stream}: ${detail}. If another stream already takes the subjects progress.*, set ` +
        'HEADWAY_STREAM to its name, or delete it.',
    );
  }
}

export class StreamNotFoundError extends HeadwayError {
  readonly code = 'stream_missing';
  constructor(stream: string, url: string) {
    super(
      `There is no stream ${stream} in NATS at ${url}. An edge makes it at its start, and so does headway init; if ` +
        'it has another name, set HEADWAY_STREAM or --stream to it.',
    );
  }
}

/** The stream is there and is another one than Headway's. */
export class NotAProgressStreamError extends HeadwayError {
  readonly code = 'stream_foreign';
  constructor(stream: string, subjects: readonly string[]) {
    super(
      `The stream ${stream} takes no progress events, and keeps none: its subjects are ${subjects.join(', ')}. Set ` +
        'HEADWAY_STREAM or --stream to the one that takes progress.*.',
    );
  }
}

export class JobNotFoundError extends HeadwayError {
  readonly code = 'job_missing';
  /** @param kept what the stream has of it instead of an event; nothing by default */
  constructor(id: string, stream: string, kept?: string) {
    super(
      kept === undefined
        ? `The stream ${stream} keeps nothing of the job ${id}: it never reported, or what it reported is older ` +
            'than what the stream keeps.'
        : `The stream ${stream} keeps no event of the job ${id}, only ${kept}; headway history ${id} says why.`,
    );
  }
}

/** The stream that is read was deleted and made again: what was read before is of another one. */
export class StreamRecreatedError extends HeadwayError {
  readonly code = 'stream_replaced';
  constructor(stream: string) {
    super(
      `The stream ${stream} was deleted and made again while it was read; what was read before is of the old one. ` +
        'Start again to read the new one.',
    );
  }
}
