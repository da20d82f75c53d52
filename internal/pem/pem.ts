import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

/** A file that can be read and does not hold what it should. Its message says what was expected, never what was found. */
export class InvalidFileError extends Error {}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const ENCRYPTED = /^-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m;

/** All certificates of a PEM file, in their order; at least one. @throws InvalidFileError */
export function parseCertificates(content: Buffer): X509Certificate[] {
  const blocks = content.toString('latin1').match(CERTIFICATE);
  if (blocks === null)
    throw new InvalidFileError('expected a PEM file with a certificate, but there is none in it');
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    throw damaged();
  }
}

export const damaged = (): InvalidFileError =>
  new InvalidFileError('expected a PEM file with a certificate, but what is in it is damaged');

/** The private key of a PEM file. @throws InvalidFileError */
export function parseKey(content: Buffer): KeyObject {
  // Whoever loads it would ask for the passphrase at the terminal, or wait for it.
  if (ENCRYPTED.test(content.toString('latin1'))) {
    throw new InvalidFileError('expected a key without a passphrase, but it is encrypted');
  }
  try {
    return createPrivateKey(content);
  } catch {
    throw new InvalidFileError(
      'expected a PEM file with a private key, but there is none in it that can be read',
    );
  }
}

/** Why a file cannot be used, for whoever named it. */
export function describeFileError(error: unknown): string {
  if (error instanceof InvalidFileError) return error.message;
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'there is no such file';
    case 'EACCES':
    case 'EPERM':
      return 'this process may not read the file';
    case 'EISDIR':
      return 'it is a folder; expected a file';
    default:
      return `the file cannot be read (${code ?? 'unknown error'})`;
  }
}
