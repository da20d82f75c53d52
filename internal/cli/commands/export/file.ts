import { createReadStream } from 'node:fs';
import { type FileHandle, open, readlink, stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { HeadwayError } from '../../../errors.js';
import { OutputError, UsageError } from '../../runtime/cli-context.js';
import { type ExportPosition, parseExportLine } from './record.js';

/** How a file is begun: it must not be there; gone on with when it is there; emptied when it is there. */
export type ExportMode = 'new' | 'resume' | 'overwrite';

/** The export stopped before its end because the file takes no more. It is whole up to its last line. */
export class ExportStopped extends HeadwayError {
  readonly code = 'output';
  override readonly exitCode = 5;
  constructor(path: string, error: unknown, seq: number | null) {
    super(
      `${new OutputError(path, error).message.replace(/ What was written.*$/s, '')} ${
        seq === null ? 'Nothing is in it yet' : `It is whole up to its last line, seq ${seq}`
      }: make room, then run the same command with --resume.`,
    );
  }
}

/** Somebody else writes to the file. */
export class FileChangedError extends HeadwayError {
  readonly code = 'file_changed';
  constructor(path: string) {
    super(
      `${path} was changed by another program while it was written. Let one export at a time write to it.`,
    );
  }
}

const OPEN_REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'its folder is not there (ENOENT)',
  EISDIR: 'it is a folder (EISDIR)',
  ENOTDIR: 'what should be its folder is none (ENOTDIR)',
  EACCES: 'that is not permitted (EACCES)',
};

/** The export did not begin because its file cannot be opened. */
class ExportNotBegun extends HeadwayError {
  readonly code = 'output';
  override readonly exitCode = 5;
  constructor(path: string, error: unknown) {
    const { code, message } = error as NodeJS.ErrnoException;
    super(`Cannot write to ${path}: ${OPEN_REASONS[code ?? ''] ?? message}. Nothing was written.`);
  }
}

const CHUNK = 64 * 1024;
/** No message of NATS is larger (its own limit is 64 MiB), and base64 makes it longer by a third. */
const LONGEST_LINE = 96 * 1024 * 1024;
const LINE_FEED = 0x0a;

/**
 * A file that lines are added to. Between two writes it ends with a whole line; what a killed process left of a torn
 * one is cut off when it is opened to go on.
 */
export class ExportFile {
  readonly path: string;
  /** Where an earlier export stopped; null: the file was empty. */
  readonly place: ExportPosition | null;
  /** Bytes of a torn last line that were cut off. */
  readonly partialBytes: number;
  readonly #handle: FileHandle;
  /** Pipes and devices have no size to go back to. */
  readonly #isPlain: boolean;
  #size: number;
  #lastSeq: number | null;

  private constructor(path: string, handle: FileHandle, isPlain: boolean, found: Found) {
    this.path = path;
    this.#handle = handle;
    this.#isPlain = isPlain;
    this.place = found.place;
    this.partialBytes = found.partialBytes;
    this.#size = found.size;
    this.#lastSeq = found.place?.seq ?? null;
  }

  /** @throws UsageError for a file that is there and must not be, or is no export; OutputError */
  static async open(path: string, mode: ExportMode): Promise<ExportFile> {
    try {
      const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return null;
        throw error;
      });
      if (found === null) return new ExportFile(path, await create(path), true, EMPTY);
      if (!found.isFile()) return new ExportFile(path, await open(path, 'w'), false, EMPTY);
      if (mode === 'resume') return await ExportFile.#resume(path);
      if (mode === 'overwrite') return new ExportFile(path, await open(path, 'w'), true, EMPTY);
    } catch (error) {
      if (error instanceof HeadwayError) throw error;
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw new ExportNotBegun(path, error);
    }
    throw new UsageError(
      `${path} is there already: --resume goes on with it, --overwrite begins it anew, or choose another name.`,
    );
  }

  static async #resume(path: string): Promise<ExportFile> {
    const handle = await open(path, 'r+');
    try {
      const found = await findEnd(path, handle);
      if (found.partialBytes > 0) await handle.truncate(found.size);
      return new ExportFile(path, handle, true, found);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Bytes of whole lines. */
  get size(): number {
    return this.#size;
  }

  /** The seq of the last line in the file; null: there is none. */
  get lastSeq(): number | null {
    return this.#lastSeq;
  }

  /**
   * Adds whole lines, the last of which is of the message `lastSeq`.
   * @throws ExportStopped when the file takes no more; it ends with a whole line then. FileChangedError
   */
  async write(lines: string, lastSeq: number): Promise<void> {
    const bytes = Buffer.from(lines);
    let written = 0;
    // Somebody else who goes on with the same file would be written over, or leave a hole.
    if (this.#isPlain && (await this.#handle.stat()).size !== this.#size)
      throw new FileChangedError(this.path);
    try {
      while (written < bytes.length) {
        const position = this.#isPlain ? this.#size + written : null;
        const { bytesWritten } = await this.#handle.write(bytes, written, bytes.length - written, position);
        written += bytesWritten;
      }
    } catch (error) {
      await this.#backToWhole(bytes.subarray(0, written));
      throw new ExportStopped(this.path, error, this.#lastSeq);
    }
    this.#size += written;
    this.#lastSeq = lastSeq;
  }

  /** Waits until the disk has it, and closes it. @throws ExportStopped */
  async finish(): Promise<void> {
    try {
      if (this.#isPlain) await this.#handle.sync();
    } catch (error) {
      throw new ExportStopped(this.path, error, this.#lastSeq);
    } finally {
      await this.#handle.close().catch(() => undefined);
    }
  }

  // A write that a full disk took in part leaves a torn line behind.
  async #backToWhole(written: Buffer): Promise<void> {
    const whole = written.subarray(0, written.lastIndexOf(LINE_FEED) + 1);
    const last = whole.subarray(whole.lastIndexOf(LINE_FEED, whole.length - 2) + 1);
    this.#lastSeq = parseExportLine(last.toString())?.seq ?? this.#lastSeq;
    this.#size += whole.length;
    // Where even this fails, the torn line is cut off by whoever goes on.
    if (this.#isPlain) await this.#handle.truncate(this.#size).catch(() => undefined);
  }
}

// A link to what is not there counts as there for whoever insists on a new file.
async function create(path: string): Promise<FileHandle> {
  const target = await readlink(path).catch(() => null);
  if (target === null) return await open(path, 'wx');
  try {
    return await open(path, 'w');
  } catch (error) {
    throw new ExportNotBegun(`${path} (a link to ${target})`, error);
  }
}

interface Found {
  readonly place: ExportPosition | null;
  readonly partialBytes: number;
  /** Bytes up to and with the last whole line. */
  readonly size: number;
}

const EMPTY: Found = { place: null, partialBytes: 0, size: 0 };

// Nothing is cut from a file that is not known to be an export: somebody may have named the wrong one.
async function findEnd(path: string, handle: FileHandle): Promise<Found> {
  const { size } = await handle.stat();
  if (size === 0) return EMPTY;
  const notOurs = new UsageError(
    `${path} is not an export of headway (its last whole line is none of ours): name another file, or --overwrite it.`,
  );
  const end = await lastLineFeed(handle, size);
  if (end < 0) {
    const { buffer } = await handle.read(Buffer.alloc(Math.min(size, 8)), 0, Math.min(size, 8), 0);
    if (!'{"seq":'.startsWith(buffer.toString().slice(0, 7))) throw notOurs;
    return { place: null, partialBytes: size, size: 0 };
  }
  const start = (await lastLineFeed(handle, end)) + 1;
  if (end - start > LONGEST_LINE) throw notOurs;
  const line = Buffer.alloc(end - start);
  await handle.read(line, 0, line.length, start);
  const place = parseExportLine(line.toString());
  if (place === null) throw notOurs;
  return { place, partialBytes: size - end - 1, size: end + 1 };
}

/** Where the last line feed before `end` is; -1: there is none. */
async function lastLineFeed(handle: FileHandle, end: number): Promise<number> {
  const buffer = Buffer.alloc(CHUNK);
  for (let to = end; to > 0; to -= CHUNK) {
    const from = Math.max(0, to - CHUNK);
    const { bytesRead } = await handle.read(buffer, 0, to - from, from);
    const at = buffer.subarray(0, bytesRead).lastIndexOf(LINE_FEED);
    if (at >= 0) return from + at;
  }
  return -1;
}

/** What the lines of an earlier export are of. */
export interface FileJobs {
  /** The one job that all of them are of; null: they are of several, or of none. */
  readonly only: string | null;
  readonly firstSeq: number;
}

/** Reads until a second job comes, which in an export of all jobs is soon. @param size bytes of whole lines */
export async function jobsIn(path: string, size: number): Promise<FileJobs> {
  let firstSeq = 0;
  let only: string | null = null;
  if (size === 0) return { only, firstSeq };
  const input = createReadStream(path, { end: size - 1 });
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  // Whoever takes the lines is not told that the file cannot be read.
  let failure: Error | null = null;
  input.once('error', (error) => {
    failure = error;
    lines.close();
  });
  for await (const line of lines) {
    const place = parseExportLine(line);
    if (place === null) continue;
    if (firstSeq === 0) {
      firstSeq = place.seq;
      only = place.id;
    } else if (place.id !== only) only = null;
    if (only === null) break;
  }
  input.destroy();
  if (failure !== null) throw failure;
  return { only, firstSeq };
}
