/** Certificates for tests, made by the `openssl` on the PATH. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A certificate and its key, as PEM text. */
export interface Certified {
  cert: string;
  key: string;
}

export interface CertificateOptions {
  /** How `openssl req` makes the key; P-256 by default. */
  newKey?: string[];
  /** How long it is valid from now on; below 0 it has expired. */
  days?: number;
}

const P256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];

/** An authority that signs certificates for this machine (localhost, 127.0.0.1). */
export class Authority {
  #made = 0;

  private constructor(
    private readonly folder: string,
    /** Its own certificate: what clients are told to trust. */
    readonly pem: string,
  ) {}

  /** @param folder keeps its files; the caller removes it */
  static async create(folder: string): Promise<Authority> {
    const [key, cert] = [join(folder, 'authority.key'), join(folder, 'authority.pem')];
    const subject = ['-subj', '/CN=a test authority'];
    await openssl('req', '-x509', ...P256, '-nodes', '-days', '30', ...subject, '-keyout', key, '-out', cert);
    await writeFile(join(folder, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1');
    return new Authority(folder, await readFile(cert, 'utf8'));
  }

  /** Makes a key, and a certificate for it with this common name. */
  async issue(name: string, { newKey = P256, days = 30 }: CertificateOptions = {}): Promise<Certified> {
    this.#made += 1;
    const of = (ending: string): string => join(this.folder, `made-${this.#made}.${ending}`);
    const mine = (file: string): string => join(this.folder, file);
    await openssl(
      'req',
      ...newKey,
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      of('key'),
      '-out',
      of('csr'),
    );
    const signer = ['-CA', mine('authority.pem'), '-CAkey', mine('authority.key')];
    const rest = ['-set_serial', String(this.#made + 1), '-extfile', mine('names'), '-out', of('pem')];
    const sign = (...time: string[]) =>
      openssl('x509', '-req', '-in', of('csr'), ...signer, ...time, ...rest);
    if (days > 0) await sign('-days', String(days));
    // From OpenSSL 3.4 on an end before the beginning is refused; before it, these two options are.
    else await sign(...expired(days)).catch(async () => await sign('-days', String(days)));
    return { cert: await readFile(of('pem'), 'utf8'), key: await readFile(of('key'), 'utf8') };
  }
}

/** Valid for a day, which ended so many days ago. */
function expired(days: number): string[] {
  const day = (ago: number): string =>
    new Date(Date.now() - ago * 86_400_000).toISOString().replace(/[-:T]|\.\d+/g, '');
  return ['-not_before', day(1 - days), '-not_after', day(-days)];
}

async function openssl(...args: string[]): Promise<void> {
  try {
    await run('openssl', args);
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const why = isMissing ? 'this test needs `openssl` on the PATH, and there is none' : 'openssl failed';
    throw new Error(`${why}: ${(error as Error).message}`, { cause: error });
  }
}

/** Resolves to true when somebody at this port of this machine shows a certificate that `ca` has signed. */
export async function connectTls(port: number, ca: string): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port, ca });
  try {
    await once(socket, 'secureConnect');
    return true;
  } finally {
    socket.destroy();
  }
}

/** Writes a file so that no reader sees half of it. */
export async function put(path: string, content: string): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}
