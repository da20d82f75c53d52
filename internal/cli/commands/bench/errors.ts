import { printable } from '../../../../schemas/text.js';
import { HeadwayError } from '../../../errors.js';

/** No edge answers at this address, or this machine cannot open so many connections to it. */
export class EdgeUnreachableError extends HeadwayError {
  readonly code = 'edge_unreachable';
  constructor(url: string, { code = '', message }: NodeJS.ErrnoException) {
    const reason = REASONS[code] ?? printable(message);
    const remedy = REMEDIES[code] ?? (/CERT|SIGNATURE/.test(code) ? NOT_TRUSTED : NO_EDGE);
    super(`Cannot connect to the edge at ${url}: ${reason}.${remedy}`);
  }
}

const NO_EDGE = ' Set --edge (HEADWAY_EDGE_URL) to where an edge listens, such as http://127.0.0.1:8080.';
const NOT_TRUSTED =
  ' Set NODE_EXTRA_CA_CERTS to a PEM file with the authority of its certificate, and --edge to a name that is in it.';
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there (ECONNREFUSED)',
  EMFILE: 'this process may open no more files (EMFILE)',
  ENFILE: 'this machine may open no more files (ENFILE)',
  EADDRNOTAVAIL: 'this machine has no more ports for it (EADDRNOTAVAIL)',
  EPROTO: 'it does not speak TLS as this program does (EPROTO)',
};
const REMEDIES: Readonly<Record<string, string>> = {
  EMFILE: ' Raise ulimit -n, or give fewer --clients.',
  ENFILE: ' Give fewer --clients.',
  EADDRNOTAVAIL: ' Give fewer --clients.',
  EPROTO: ' Where an edge has no TLS, its address begins with http:// or ws://.',
};

/** The edge, or what is before it, does not let the clients of the benchmark in. */
export class EdgeRefusedError extends HeadwayError {
  readonly code = 'edge_refused';
  /** @param said `unauthorized: …` of a frame, `403 forbidden_origin: …` of an answer over HTTP */
  constructor(url: string, said: string) {
    super(`The edge at ${url} does not let a client in (${said}).${remedyFor(said)}`);
  }
}

function remedyFor(said: string): string {
  if (/\b(unauthorized|token_expired)\b|^401/.test(said)) {
    return (
      ' Give a token that opens jobs of the type headway.bench, such as HEADWAY_TOKEN=$(headway token --job-type ' +
      'headway.bench).'
    );
  }
  if (/\bforbidden\b/.test(said)) {
    return ' The token must open jobs of the type headway.bench: headway token --job-type headway.bench makes one.';
  }
  if (/\btoo_many_connections\b/.test(said)) {
    return (
      ' Give fewer --clients, or raise HEADWAY_MAX_CONNECTIONS_PER_ADDRESS (with tokens also ' +
      'HEADWAY_MAX_CONNECTIONS_PER_SUBJECT) of the edge.'
    );
  }
  if (/\bat once from this address\b/.test(said)) {
    return (
      ' Give fewer --clients or a longer --timeout, or raise HEADWAY_MAX_UPGRADES_PER_ADDRESS and ' +
      'HEADWAY_MAX_UNAUTHENTICATED_PER_ADDRESS of the edge.'
    );
  }
  if (/\boverloaded\b/.test(said)) return ' It has no room at the moment: try again later.';
  if (/\bin in time\b/.test(said)) return ' Give fewer --clients or a longer --timeout.';
  if (/^4\d\d|^invalid_processing_id\b/.test(said))
    return ' --edge must be the address of an edge, without /ws/upload-progress.';
  return '';
}

/** The edge follows another stream than the one that the events would be published to. */
export class OtherStreamError extends HeadwayError {
  readonly code = 'other_stream';
  constructor(url: string, stream: string) {
    super(
      `The edge at ${url} follows another stream than ${stream} in this NATS. Name the NATS and the stream that the ` +
        'edge uses (--server, --stream), or another edge (--edge).',
    );
  }
}
