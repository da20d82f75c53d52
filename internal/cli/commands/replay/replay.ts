import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { addColorOption, type ColorFlag } from '../../flags/command-line.js';
import { durationOption } from '../../flags/durations.js';
import {
  addFilterOptions,
  addOutputOption,
  addSinceOptions,
  addStartSequenceOption,
  addTimestampsOption,
  addUntilOption,
  jobIdArgument,
  type OutputFlag,
  type TimestampsFlag,
} from '../../flags/filters.js';
import { type CliContext, UsageError } from '../../runtime/cli-context.js';
import { addNatsOptions, type NatsFlags, withStream } from '../../runtime/nats.js';
import { isCheckpointName } from './checkpoint.js';
import { KEYS_HELP } from './keys.js';
import { parseSpeed, SPEED_EXPECTED, type Speed } from './pacer.js';
import type { RangeFlags } from './range.js';
import type { ReplayOptions } from './run.js';

const DEFAULT_PORT = 8081;
const DEFAULT_HOST = '127.0.0.1';

const DETAILS = `
Shows stored events again, with the silences between them as they were stored, at --speed. The end is the newest event
as of the start, or --until. Nothing is ever written to the stream.

On a terminal: ${KEYS_HELP}.

--durable NAME keeps the checkpoint in a durable consumer of the stream (replay-NAME): a replay that was stopped, or whose
machine died, goes on there when the same command, or just --durable NAME, is run again. Nothing is left out and the
order holds; after a crash what was shown last comes again (that of about the last half second, and never more than
about 3,000 messages). A replay that comes to its end removes the checkpoint; one that nobody touches for 30 days is removed
by the server. --reset begins anew.

--to ws serves the replay on this machine, at the paths of an edge, without tokens: point a front end at it. It begins at
once, and who comes later sees the last states first, as at any edge; --wait begins when the first client is there. Its epoch
is its own, so a client with a cursor of the real stream gets a reset. Pages of other origins need --origin.

Examples:
  headway replay invoice-42                                        as it was
  headway replay invoice-42 --speed 10x --max-gap 5s -o ndjson     faster, without the long silences, for a program
  headway replay --since 1h --job-type pdf.ocr --speed max         all jobs of a type, at once
  headway replay --since-time 2026-03-01T02:00:00Z --until 2026-03-01T04:00:00Z --to ws --port 8081 --wait
  headway replay --start-sequence 120000 --durable monday -o ndjson | ./load-test
`;

interface Flags extends NatsFlags, Omit<RangeFlags, 'id'>, OutputFlag, TimestampsFlag, ColorFlag {
  readonly speed: Speed;
  readonly maxGap?: number;
  readonly paused?: true;
  readonly durable?: string;
  readonly reset?: true;
  readonly allowGap?: true;
  readonly to?: 'ws';
  readonly port?: number;
  readonly host?: string;
  readonly origin?: readonly string[];
  readonly wait?: true;
}

/** `headway replay`: one job's history, or all jobs', at the pace at which it was stored. */
export function addReplayCommand(program: Command, context: CliContext): void {
  const command = program
    .command('replay')
    .summary("show a job's history, or all jobs', at the pace at which it was stored")
    .description('Shows what is stored again, at the pace at which it was stored: of one job, or of all.')
    .addArgument(
      new Argument('[id]', "a job's processing_id; all jobs when it is left out").argParser(jobIdArgument),
    );
  addSinceOptions(command);
  addUntilOption(command);
  addStartSequenceOption(command);
  addFilterOptions(command);
  command
    .addOption(
      new Option('--speed <speed>', 'such as 0.5x, 1x, 10x, or max').argParser(speed).default(1, '1x'),
    )
    .addOption(
      new Option('--max-gap <duration>', 'cut longer silences to this, such as 5s').argParser(durationOption),
    )
    .option('--paused', 'begin paused')
    .addOption(
      new Option('--durable <name>', 'keep the checkpoint under this name, and go on from it').argParser(
        placeName,
      ),
    )
    .option('--reset', 'drop the checkpoint that was kept, and begin anew')
    .option('--allow-gap', 'go on where what follows the checkpoint was lost to retention');
  addOutputOption(command, ['table', 'wide', 'jsonl', 'ndjson']);
  addTimestampsOption(command);
  addColorOption(command);
  command
    .addOption(new Option('--to <where>', 'serve it to WebSocket clients instead of stdout').choices(['ws']))
    .addOption(
      new Option('--port <port>', `with --to ws; 0 takes a free one (default: ${DEFAULT_PORT})`).argParser(
        port,
      ),
    )
    .option('--host <address>', `with --to ws: the address to listen on (default: ${DEFAULT_HOST})`)
    .addOption(
      new Option('--origin <origin>', 'with --to ws: pages of it may connect; may be repeated').argParser(
        more,
      ),
    )
    .option('--wait', 'with --to ws: begin when the first client is there');
  addNatsOptions(command)
    .addHelpText('after', DETAILS)
    .action(async (id: string | undefined, flags: Flags) => {
      const options = optionsOf(id ?? null, flags);
      if (options.isPaused && !context.terminal.in) {
        context.stderr('headway: paused, and without a terminal there are no keys that end the pause\n');
      }
      // The parts of an edge are loaded only for this.
      const { replay } = await import('./run.js');
      await withStream(context, flags, 'replay', (opened) => replay(opened, options));
    });
}

function optionsOf(id: string | null, flags: Flags): ReplayOptions {
  const { to, durable, reset, wait, origin } = flags;
  if (reset === true && durable === undefined)
    throw new UsageError('--reset needs --durable NAME: which checkpoint?');
  if (flags.allowGap === true && durable === undefined)
    throw new UsageError('--allow-gap is for a checkpoint: name it with --durable NAME.');
  const served = { port: flags.port, host: flags.host, origin, wait };
  const [first] = Object.entries(served).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  if (to === undefined && first !== undefined) throw new UsageError(`--${first} is for --to ws.`);
  return {
    ...flags,
    id,
    maxGapMs: flags.maxGap ?? null,
    isPaused: flags.paused === true,
    durable: durable ?? null,
    reset: reset === true,
    allowGap: flags.allowGap === true,
    edge:
      to === 'ws'
        ? { host: flags.host ?? DEFAULT_HOST, port: flags.port ?? DEFAULT_PORT, origins: origin ?? [] }
        : null,
    waitForClient: wait === true,
    timestamps: flags.timestamps === true,
  };
}

function speed(text: string): Speed {
  const value = parseSpeed(text);
  if (value !== null) return value;
  throw new InvalidArgumentError(`Expected ${SPEED_EXPECTED}.`);
}

function placeName(text: string): string {
  if (isCheckpointName(text)) return text;
  throw new InvalidArgumentError('Expected 1 to 64 of A-Z a-z 0-9 _ -');
}

function port(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 65_536;
  if (value <= 65_535) return value;
  throw new InvalidArgumentError('Expected a port: 0 to 65535.');
}

const more = (text: string, all: readonly string[] = []): readonly string[] => [...all, text];
