import { subjectOf } from '../../../../schemas/ids.js';
import { printableJson } from '../../../../schemas/text.js';
import { HeadwayError, JobNotFoundError } from '../../../errors.js';
import { count, plural } from '../../../formatting.js';
import { type ReadFrom, readStored, type StoredMessage } from '../../../jetstream/read-stored.js';
import { epochOf, newestSeq } from '../../../jetstream/stream.js';
import { showDuration } from '../../flags/durations.js';
import type { SinceFlags, StartSequenceFlag, UntilFlag } from '../../flags/filters.js';
import { resolveStart, untilOf } from '../../flags/filters.js';
import { isWholeAfter } from '../../reads/retention.js';
import { type CliContext, SignalError, UsageError } from '../../runtime/cli-context.js';
import { type OpenStream, type StreamAccess, streamInfo } from '../../runtime/nats.js';
import { StatusLine } from '../../runtime/status.js';

import { ExportFile, type ExportMode, type FileJobs, jobsIn } from './file.js';
import { type ExportFilter, type ExportPosition, exportLine } from './record.js';

export interface ExportOptions extends ExportFilter, SinceFlags, StartSequenceFlag, UntilFlag {
  /** null: all jobs. */
  readonly id: string | null;
  /** null: to stdout. */
  readonly file: string | null;
  readonly mode: ExportMode;
  readonly allowGap?: boolean;
}

/** What follows an earlier export is not kept any more. */
export class ExportGapError extends HeadwayError {
  readonly code = 'export_gap';
}

/** @param now ms since 1970. @throws UsageError for options that contradict each other, before anybody is asked */
export function checkOptions(options: ExportOptions, now: number): void {
  if (options.file === null && options.mode !== 'new') {
    throw new UsageError(`--${options.mode} is for a file: name it with --to FILE.`);
  }
  resolveStart(options, now);
  untilOf(options, now);
}

/**
 * Writes what is stored, and says on stderr how much that was.
 * @throws UsageError, JobNotFoundError, ExportGapError, OutputError, ExportStopped, and whatever NATS refuses
 */
export async function exportStored(
  { access, context, info }: OpenStream,
  options: ExportOptions,
): Promise<void> {
  const from = resolveStart(options, context.now());
  const epoch = epochOf(info);
  if (options.id !== null && (await newestSeq(access.jsm, access.stream, subjectOf(options.id))) === 0) {
    throw new JobNotFoundError(options.id, access.stream);
  }
  const run = new ExportRun(access, context, options, epoch);
  if (options.file === null) {
    // To the letter for programs; a terminal would obey what a worker wrote.
    const shield = context.terminal.out ? onTerminal : (lines: string) => lines;
    await run.copy(from ?? { kind: 'first' }, (lines) => context.stdout(shield(lines)));
    run.summarise('to stdout', null);
    return;
  }
  const file = await ExportFile.open(options.file, options.mode);
  if (file.partialBytes > 0)
    context.stderr(
      `headway: cut ${plural(file.partialBytes, 'byte')} of a torn last line off ${file.path}\n`,
    );
  try {
    if (file.place !== null) await run.checkPlace(file.place, file);
    const start = file.place === null ? from : ({ kind: 'seq', seq: file.place.seq + 1 } as const);
    await run.copy(start ?? { kind: 'first' }, (lines, seq) => file.write(lines, seq));
  } catch (error) {
    await file.finish().catch(() => undefined);
    run.clear();
    if (error instanceof SignalError) {
      const upTo = file.lastSeq === null ? 'has no line yet' : `is whole up to seq ${file.lastSeq}`;
      context.stderr(`headway: stopped; ${file.path} ${upTo}, and --resume goes on\n`);
    }
    throw error;
  } finally {
    run.clear();
  }
  await file.finish();
  run.summarise(`to ${file.path}`, file.lastSeq);
}

/** Lines are handed on in pieces of about this many characters. */
const PIECE = 256 * 1024;

class ExportRun {
  readonly #access: StreamAccess;
  readonly #context: CliContext;
  readonly #options: ExportOptions;
  readonly #epoch: string;
  readonly #until: number | null;
  readonly #status: StatusLine;
  readonly #startedAt = performance.now();
  #events = 0;
  #invalid = 0;
  #invalidLeftOut = 0;
  #filtered = 0;
  /** Of all jobs: sequences between the first and the last message that are not kept. */
  #missing = 0;
  #first: number | null = null;
  #last = 0;
  /** The last one that became a line. */
  #lastLine = 0;

  constructor(access: StreamAccess, context: CliContext, options: ExportOptions, epoch: string) {
    this.#access = access;
    this.#context = context;
    this.#options = options;
    this.#epoch = epoch;
    this.#until = untilOf(options, context.now());
    this.#status = new StatusLine(context);
  }

  /** Whether an earlier export can be gone on with. @throws UsageError, ExportGapError */
  async checkPlace(place: ExportPosition, { path, size }: ExportFile): Promise<void> {
    const { stream } = this.#access;
    const { id, allowGap } = this.#options;
    if (place.epoch !== this.#epoch) {
      throw new UsageError(
        `${path} is of another incarnation of the stream ${stream} (its epoch is ${shown(place.epoch)}, the stream's is ` +
          `${this.#epoch}): its sequences mean other messages. Export to another file.`,
      );
    }
    await this.#checkJobs(place, path, await jobsIn(path, size));
    const { state } = await streamInfo(this.#access);
    if (state.last_seq < place.seq) {
      throw new ExportGapError(
        `${path} goes up to seq ${place.seq}, but the stream ${stream} ends at ${state.last_seq}: it has lost messages, ` +
          'and will give their sequences to others. Export to another file.',
      );
    }
    if (allowGap === true || (await isWholeAfter(this.#access, id, place.seq))) return;
    throw new ExportGapError(
      `What follows seq ${place.seq}, the last in ${path}, is not all kept any more in the stream ${stream}. Run it again ` +
        'with --allow-gap to go on with what is there, or export to another file.',
    );
  }

  // A file of one job that all jobs were added to would be whole for neither, and nothing would show it.
  async #checkJobs(
    { id: last, seq }: ExportPosition,
    path: string,
    { only, firstSeq }: FileJobs,
  ): Promise<void> {
    const { id, jobType, status, allowGap } = this.#options;
    if (id !== null) {
      if (only === id) return;
      const others =
        last === id ? 'it has lines of others' : `its last line is of ${shown(last ?? 'no job')}`;
      throw new UsageError(`${path} is not of the job ${id}: ${others}.`);
    }
    // With a filter one job may be all that there was.
    if (only === null || jobType !== undefined || status !== undefined || allowGap === true) return;
    if (!(await hasOthers(this.#access, this.#context, { id: only, from: firstSeq, to: seq }))) return;
    throw new UsageError(
      `${path} is of the job ${shown(only)} alone, and not of all: name the job (headway export ID --to FILE --resume), ` +
        'or export all to another file.',
    );
  }

  /** Hands on the lines of everything from there to the head, or to where --until says. */
  async copy(from: ReadFrom, write: (lines: string, lastSeq: number) => Promise<void>): Promise<void> {
    const { id } = this.#options;
    const { jsm, stream } = this.#access;
    const head =
      id === null
        ? (await streamInfo(this.#access)).state.last_seq
        : await newestSeq(jsm, stream, subjectOf(id));
    const messages = readStored(this.#access, { id, from, until: 'head' }, this.#context.stopped, {
      gap: (asked, first) => this.#gap(asked, first),
      lost: (reason) => this.#say(`the read was interrupted (${reason}); it goes on by itself`),
    });
    for await (const batch of messages) {
      let lines = '';
      let isOver = false;
      for (const message of batch) {
        isOver = this.#until !== null && message.storedAt > this.#until;
        if (isOver) break;
        lines += this.#line(message);
        if (lines.length < PIECE) continue;
        await write(lines, this.#lastLine);
        lines = '';
      }
      if (lines !== '') await write(lines, this.#lastLine);
      if (isOver) break;
      this.#draw(head);
    }
    this.clear();
  }

  #line(message: StoredMessage): string {
    const { seq } = message;
    if (this.#first !== null && this.#options.id === null) this.#missing += seq - this.#last - 1;
    this.#first ??= seq;
    this.#last = seq;
    const exported = exportLine(message, this.#epoch, this.#options);
    switch (exported.kind) {
      case 'event':
        this.#events++;
        this.#lastLine = seq;
        return exported.line;
      case 'invalid':
        this.#invalid++;
        this.#lastLine = seq;
        return exported.line;
      case 'filtered':
        this.#filtered++;
        return '';
      case 'invalid left out':
        this.#invalidLeftOut++;
        return '';
    }
  }

  clear(): void {
    this.#status.clear();
  }

  /** Says how much it was. @param lastSeq where a file stands now; null: there is no file */
  summarise(where: string, lastSeq: number | null): void {
    const ms = performance.now() - this.#startedAt;
    const range = this.#first === null ? '' : `, seq ${this.#first} to ${this.#last}`;
    const rate = ms < 500 ? '' : ` (${count(Math.round((this.#events / ms) * 1_000))} a second)`;
    const more = [
      this.#invalid > 0
        ? `${noEvents(this.#invalid)} ${this.#invalid === 1 ? 'is' : 'are'} among the lines, each with its reason`
        : '',
      this.#invalidLeftOut > 0
        ? `${noEvents(this.#invalidLeftOut)} ${this.#invalidLeftOut === 1 ? 'was' : 'were'} left out`
        : '',
      this.#filtered > 0 ? `${plural(this.#filtered, 'event')} not asked for` : '',
      this.#missing > 0 ? `of ${plural(this.#missing, 'sequence')} in between nothing is kept any more` : '',
      lastSeq !== null && this.#first === null ? `the file goes up to seq ${lastSeq}` : '',
    ].filter((text) => text !== '');
    const tail = more.length > 0 ? `; ${more.join('; ')}` : '';
    this.#context.stderr(
      `headway: exported ${plural(this.#events, 'event')} ${where} in ${showDuration(ms)}${rate}${range}${tail}\n`,
    );
  }

  #draw(head: number): void {
    const now = performance.now();
    if (!this.#status.wants(now)) return;
    const rate = Math.round((this.#events / (now - this.#startedAt)) * 1_000);
    const share = head > 0 ? ` of ${count(head)} (${Math.floor((this.#last / head) * 100)}%)` : '';
    this.#status.draw(
      `exported ${plural(this.#events, 'event')}, seq ${count(this.#last)}${share}, ${count(rate)}/s`,
      now,
    );
  }

  // What is gone before the start is gone; what is lost on the way makes a hole in the middle of the lines.
  #gap(asked: number, first: number): void {
    const gone = `what was asked for from seq ${asked} on is kept only from ${first} on`;
    if (this.#first === null || this.#options.allowGap === true) this.#say(gone);
    else {
      throw new ExportGapError(
        `Events left the stream before they were read, while the export was interrupted: ${gone}. Run it again with ` +
          '--allow-gap to go on with what is there.',
      );
    }
  }

  #say(text: string): void {
    this.#status.clear();
    this.#context.stderr(`headway: ${text}\n`);
  }
}

/** Whether between two sequences something is stored of another job. */
async function hasOthers(
  access: StreamAccess,
  context: CliContext,
  { id, from, to }: { id: string; from: number; to: number },
): Promise<boolean> {
  const range = { id: null, from: { kind: 'seq', seq: from }, until: 'head' } as const;
  const quiet = { gap: () => {}, lost: () => {} };
  for await (const batch of readStored(access, range, context.stopped, quiet)) {
    for (const { seq, subject } of batch) {
      if (seq > to) return false;
      if (subject !== subjectOf(id)) return true;
    }
  }
  return false;
}

const noEvents = (messages: number): string =>
  messages === 1 ? '1 message that is no event' : `${count(messages)} messages that are no events`;

const onTerminal = (lines: string): string => lines.split('\n').map(printableJson).join('\n');

// It comes out of a file that may be anybody's.
const shown = (text: string): string => JSON.stringify(text.slice(0, 128));
