import { parseArgs } from 'node:util';

/** The `job_type` of the demo's jobs. */
export const JOB_TYPE = 'document';

/** What the demo was asked to do. */
export interface DemoOptions {
  /** Paths of documents; none: those that come with the demo. */
  readonly files: readonly string[];
  /** Each page takes at least this long. */
  readonly pageMs: number;
  /** The same for documents that come over the demo's page. */
  readonly uploadPageMs: number;
  /** Where the edge listens; 0 takes a free port. */
  readonly port: number;
  readonly isVerbose: boolean;
  /** End when the documents are done, also on a terminal. */
  readonly once: boolean;
  /** Go on when they are done, also without a terminal. */
  readonly stay: boolean;
  /** Where the demo's page is; 0 takes a free port. */
  readonly sitePort: number;
  /** Whether a browser may be opened on it. */
  readonly opensBrowser: boolean;
  readonly natsUrl: string | undefined;
  readonly natsCreds: string | undefined;
  /** The nats-server to start when there is no `natsUrl`. */
  readonly natsServer: string | undefined;
  readonly stream: string;
}

/** What `process.env` is. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The options with what is wrong with them, or that help was asked for. */
export type OptionsResult =
  | { readonly kind: 'options'; readonly options: DemoOptions; readonly problems: readonly string[] }
  | { readonly kind: 'help' };

const DEFAULT_PAGE_MS = 150;
/** Whoever drops a document on the page wants to see it, and to press the buttons before it is done. */
const DEFAULT_UPLOAD_PAGE_MS = 500;
const MAX_PAGE_MS = 60_000;

/** The answer to --help. */
export const USAGE = `Usage: make demo [FILES="a.pdf b.txt …"], or node dist/cmd/demo.js [file …]

Processes documents (PDF, HTML, UTF-8 text) page by page and shows the progress as a client of an edge gets it.
Without files: the documents that come with it. On a terminal it stays, with a page to drop documents on. In the
environment:

  PAGE_MS          the least time that a page takes, in milliseconds (default: ${DEFAULT_PAGE_MS}; 0: full speed)
  PORT             the port of the edge on 127.0.0.1 (default: a free one)
  NATS_URL         a NATS server with JetStream to use (default: one is started for the demo); NATS_CREDS with it
  NATS_SERVER_BIN  the nats-server to start (default: the one on the PATH)
  ONCE=1           end when the documents are done, also on a terminal; then there is no page
  STAY=1           stay, with the page, also without a terminal
  DEMO_PORT        the port of the page on 127.0.0.1 (default: a free one)
  DEMO_OPEN=off    do not open a browser on the page
  VERBOSE=1        show the log of the edge too
`;

/** Reads arguments and environment. Every mistake is among `problems`; the options then hold defaults instead. */
export function readOptions(args: readonly string[], env: Environment): OptionsResult {
  const problems: string[] = [];
  let files: string[] = [];
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { help: { type: 'boolean', short: 'h' } },
    });
    if (values.help === true) return { kind: 'help' };
    files = positionals;
  } catch (error) {
    // Its first sentence; the rest is advice for files whose names begin with a dash.
    problems.push(`${(error as Error).message.split('. ')[0]}. Try --help.`);
    files = args.filter((arg) => !arg.startsWith('-'));
  }

  const number = (name: string, otherwise: number, maximum: number): number => {
    const raw = env[name]?.trim();
    if (raw === undefined || raw === '') return otherwise;
    if (/^\d{1,9}$/.test(raw) && Number(raw) <= maximum) return Number(raw);
    problems.push(`${name} is "${raw}": expected a whole number from 0 to ${maximum}.`);
    return otherwise;
  };
  const text = (name: string): string | undefined => env[name]?.trim() || undefined;
  const flag = (name: string): boolean => !['', '0', 'false', 'no'].includes(text(name)?.toLowerCase() ?? '');

  const pageMs = number('PAGE_MS', DEFAULT_PAGE_MS, MAX_PAGE_MS);
  return {
    kind: 'options',
    problems,
    options: {
      files,
      pageMs,
      uploadPageMs: text('PAGE_MS') === undefined ? DEFAULT_UPLOAD_PAGE_MS : pageMs,
      port: number('PORT', 0, 65_535),
      isVerbose: flag('VERBOSE'),
      once: flag('ONCE'),
      stay: flag('STAY'),
      sitePort: number('DEMO_PORT', 0, 65_535),
      opensBrowser: !['off', '0', 'no', 'false'].includes(text('DEMO_OPEN')?.toLowerCase() ?? ''),
      natsUrl: text('NATS_URL'),
      natsCreds: text('NATS_CREDS'),
      natsServer: text('NATS_SERVER_BIN'),
      stream: text('HEADWAY_STREAM') ?? 'PROGRESS',
    },
  };
}
