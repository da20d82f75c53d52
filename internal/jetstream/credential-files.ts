import { readFile } from 'node:fs/promises';
import { type Authenticator, credsAuthenticator, nkeyAuthenticator, nkeys } from 'nats';
import { ConfigError } from '../errors.js';
import { describeFileError, InvalidFileError, parseCertificates, parseKey } from '../pem/pem.js';

/** Paths of the files that a connection to NATS is opened with; each is named after its environment variable. */
export interface CredentialFiles {
  /** NATS_CREDS: a credentials file (JWT and seed). Not beside `nkeyFile`. */
  readonly credsFile?: string | undefined;
  /** NATS_NKEY: a file with the nkey seed of a user, and nothing else. */
  readonly nkeyFile?: string | undefined;
  /** NATS_CA: PEM, the authorities that NATS's certificate may come from. With it TLS is required. */
  readonly caFile?: string | undefined;
  /** NATS_CERT: PEM, this program's own certificate. Goes with `keyFile`. With them TLS is required. */
  readonly certFile?: string | undefined;
  /** NATS_KEY: PEM, the key of that certificate, without a passphrase. */
  readonly keyFile?: string | undefined;
}

/**
 * Checks all the files that are set; nothing of their content is ever in an error.
 * @returns how to sign in to NATS with them; null when none of them is for that
 * @throws ConfigError with every problem at once
 */
export async function checkCredentialFiles(files: CredentialFiles): Promise<Authenticator | null> {
  const problems: string[] = [];
  const read = async <T>(name: string, path: string | undefined, parse: (content: Buffer) => T) => {
    if (path === undefined) return null;
    try {
      return parse(await readFile(path));
    } catch (error) {
      problems.push(`${name} is ${JSON.stringify(path)}; ${describeFileError(error)}`);
      return null;
    }
  };
  if (files.credsFile !== undefined && files.nkeyFile !== undefined) {
    problems.push('NATS_CREDS and NATS_NKEY are both set; expected one of them');
  }
  if ((files.certFile === undefined) !== (files.keyFile === undefined)) {
    const [set, missing] = files.keyFile === undefined ? ['CERT', 'KEY'] : ['KEY', 'CERT'];
    problems.push(`NATS_${set} is set, but NATS_${missing} is not; expected both or neither`);
  }
  await read('NATS_CA', files.caFile, parseCertificates);
  const certificates = await read('NATS_CERT', files.certFile, parseCertificates);
  const key = await read('NATS_KEY', files.keyFile, parseKey);
  if (key !== null && certificates?.[0]?.checkPrivateKey(key) === false) {
    problems.push(
      `NATS_KEY is ${JSON.stringify(files.keyFile)}; expected the key of the certificate in NATS_CERT, ` +
        `${JSON.stringify(files.certFile)}, but it is another one`,
    );
  }
  const seed = await read('NATS_NKEY', files.nkeyFile, parseSeed);
  const credentials = await read('NATS_CREDS', files.credsFile, parseCredentials);
  if (problems.length > 0) throw new ConfigError(problems);
  return seed === null ? credentials : nkeyAuthenticator(seed);
}

function parseSeed(content: Buffer): Uint8Array {
  const seed = Buffer.from(content.toString('latin1').trim());
  try {
    if (nkeys.fromSeed(seed).getPublicKey().startsWith('U')) return seed;
  } catch {
    // told below
  }
  throw new InvalidFileError(
    'expected a file with the nkey seed of a user, one line that begins with SU, and nothing else',
  );
}

function parseCredentials(content: Buffer): Authenticator {
  try {
    const authenticator = credsAuthenticator(content);
    // It looks into the file's content only when it is asked to sign.
    authenticator('nonce');
    return authenticator;
  } catch {
    throw new InvalidFileError('expected a NATS credentials file, with the JWT of a user and its seed');
  }
}
