import { createHash, type KeyObject, type X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { TlsFilesError } from '../errors.js';
import { damaged, describeFileError, InvalidFileError, parseCertificates, parseKey } from '../pem/pem.js';

// The library says of files that it cannot use no more than that, so they are checked before it gets them.

/** Paths of the PEM files that an edge speaks TLS with. */
export interface TlsFiles {
  /** HEADWAY_TLS_CERT: the certificate, then those of the authorities between it and the root. */
  readonly certFile: string;
  /** HEADWAY_TLS_KEY: its private key, without a passphrase. */
  readonly keyFile: string;
}

/** A certificate and its key as the files held them. */
export interface TlsPair {
  /** Differs when anything in either file does. */
  readonly digest: string;
  /** Milliseconds since 1970. */
  readonly validFrom: number;
  readonly validTo: number;
}

const MAX_FILE_BYTES = 1024 * 1024;
/** Every handshake with a key on another curve fails. */
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1'];

/**
 * Reads both files and checks them, also against each other; what is in them is never in an error. That a certificate
 * has expired is no error: see `validity`.
 * @throws TlsFilesError with every problem at once
 */
export async function readTlsFiles({ certFile, keyFile }: TlsFiles): Promise<TlsPair> {
  const problems: string[] = [];
  const read = async <T>(name: string, path: string, parse: (content: Buffer) => T) => {
    try {
      const content = await readPlainFile(path);
      return { content, parsed: parse(content) };
    } catch (error) {
      problems.push(`${name} is ${JSON.stringify(path)}; ${describeFileError(error)}`);
      return null;
    }
  };
  const cert = await read('HEADWAY_TLS_CERT', certFile, datedCertificates);
  const key = await read('HEADWAY_TLS_KEY', keyFile, servedKey);
  if (cert === null || key === null) throw new TlsFilesError(problems);
  const place = cert.parsed.findIndex((certificate) => certificate.checkPrivateKey(key.parsed));
  const [own] = cert.parsed;
  if (place !== 0 || own === undefined) {
    throw new TlsFilesError([
      place > 0
        ? `HEADWAY_TLS_CERT is ${JSON.stringify(certFile)}; the certificate of the key in HEADWAY_TLS_KEY is number ` +
          `${place + 1} in it; expected it first, and those of the authorities after it`
        : `HEADWAY_TLS_KEY is ${JSON.stringify(keyFile)}; expected the key of the certificate in HEADWAY_TLS_CERT, ` +
          `${JSON.stringify(certFile)}, but it is another one`,
    ]);
  }
  return {
    digest: digestOf(cert.content, key.content),
    validFrom: Date.parse(own.validFrom),
    validTo: Date.parse(own.validTo),
  };
}

/**
 * Whether a certificate is in its time; clients refuse one that is not.
 * @param now milliseconds since 1970
 */
export function validity(pair: TlsPair, now: number): 'valid' | 'not_yet' | 'expired' {
  if (now < pair.validFrom) return 'not_yet';
  return now > pair.validTo ? 'expired' : 'valid';
}

/** What somebody who runs an edge is told about its certificate. */
export type TlsReloadEvent =
  /** New connections get what is in the files now. `validTo`: milliseconds since 1970. */
  | { readonly kind: 'reloaded'; readonly validTo: number }
  /** The files cannot be used; the edge goes on with what it read before. */
  | { readonly kind: 'kept'; readonly reason: string }
  /** Clients refuse the certificate that the edge has now. */
  | { readonly kind: 'untimely'; readonly validity: 'not_yet' | 'expired'; readonly at: number };

export interface CertificateWatcherOptions {
  readonly files: TlsFiles;
  /** Serves new connections with the files as they are; throws when that cannot be done. */
  readonly load: () => void;
  readonly report: (news: TlsReloadEvent) => void;
  /** Milliseconds between two looks. */
  readonly everyMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * Looks at the files again and again, and has them loaded when they changed. It compares what is in them: a change
 * notice is lost where a folder is swapped by a symbolic link (Kubernetes) or lies on another machine, and a time of
 * change may stay the same.
 */
export class CertificateWatcher {
  readonly #deps: CertificateWatcherOptions;
  #served: TlsPair;
  #validity: ReturnType<typeof validity> = 'valid';
  /** The last look's problem, and the one that was told last. */
  #problem: string | null = null;
  #told: string | null = null;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** @param served what is served now */
  constructor(served: TlsPair, deps: CertificateWatcherOptions) {
    this.#served = served;
    this.#deps = deps;
    this.#tellValidity();
  }

  /** Looks for the first time after `everyMs`, and each time that long after the last look ended. */
  start(): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => void this.look().then(() => this.start()), this.#deps.everyMs);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** One look. Never rejects. */
  async look(): Promise<void> {
    const { files, load, report } = this.#deps;
    try {
      const pair = await readTlsFiles(files);
      if (this.#isClosed) return;
      if (pair.digest !== this.#served.digest) {
        load();
        this.#served = pair;
        this.#validity = 'valid';
        report({ kind: 'reloaded', validTo: pair.validTo });
      }
      this.#problem = null;
      this.#told = null;
    } catch (error) {
      if (this.#isClosed) return;
      this.#tell(error instanceof TlsFilesError ? error.problem : (error as Error).message);
    }
    this.#tellValidity();
  }

  // One file is written before the other: what is wrong now and right at the next look was nobody's mistake.
  #tell(problem: string): void {
    const isNew = this.#problem === null;
    this.#problem = problem;
    if (isNew || problem === this.#told) return;
    this.#told = problem;
    this.#deps.report({ kind: 'kept', reason: problem });
  }

  #tellValidity(): void {
    const before = this.#validity;
    this.#validity = validity(this.#served, this.#deps.now());
    if (this.#validity === 'valid' || this.#validity === before) return;
    const { validFrom, validTo } = this.#served;
    const at = this.#validity === 'expired' ? validTo : validFrom;
    this.#deps.report({ kind: 'untimely', validity: this.#validity, at });
  }
}

async function readPlainFile(path: string): Promise<Buffer> {
  const { size, isFile } = await stat(path).then((stats) => ({ size: stats.size, isFile: stats.isFile() }));
  // A pipe could be read once only, and a device for ever.
  if (!isFile) throw new InvalidFileError('expected a file that can be read again and again, but it is none');
  if (size > MAX_FILE_BYTES)
    throw new InvalidFileError('expected a PEM file, but this one is larger than 1 MiB');
  return await readFile(path);
}

/** Certificates of which `validity` can tell. */
function datedCertificates(content: Buffer): X509Certificate[] {
  const certificates = parseCertificates(content);
  const isDated = (one: X509Certificate) =>
    !Number.isNaN(Date.parse(one.validFrom) + Date.parse(one.validTo));
  if (certificates.every(isDated)) return certificates;
  throw damaged();
}

function servedKey(content: Buffer): KeyObject {
  const key = parseKey(content);
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const isServed =
    type === 'rsa' || type === 'ed25519' || (type === 'ec' && CURVES.includes(details?.namedCurve ?? ''));
  if (isServed) return key;
  const kind = details?.namedCurve ?? type ?? 'another kind';
  throw new InvalidFileError(`expected a key of RSA, P-256, P-384, P-521 or Ed25519, but it is of ${kind}`);
}

function digestOf(...contents: readonly Buffer[]): string {
  const hash = createHash('sha256');
  for (const content of contents) hash.update(`${content.length} `).update(content);
  return hash.digest('base64');
}
