/** A nats-server that knows its users by credentials files, as a hosted one does. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nkeys } from 'nats';

type Keys = ReturnType<typeof nkeys.createUser>;

const encode = (value: object | string | Uint8Array): string =>
  Buffer.from(
    value instanceof Uint8Array || typeof value === 'string' ? value : JSON.stringify(value),
  ).toString('base64url');

function sign(issuer: Keys, subject: Keys, nats: object): string {
  const claims = {
    ...{ jti: subject.getPublicKey(), iat: 1_700_000_000, name: 'test' },
    ...{ iss: issuer.getPublicKey(), sub: subject.getPublicKey(), nats: { ...nats, version: 2 } },
  };
  const text = `${encode({ typ: 'JWT', alg: 'ed25519-nkey' })}.${encode(claims)}`;
  return `${text}.${encode(issuer.sign(Buffer.from(text)))}`;
}

const NO_LIMITS = { subs: -1, data: -1, payload: -1 };
const ACCOUNT = { ...NO_LIMITS, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
const JETSTREAM = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };

/**
 * @param folder where the credentials file of the one user is written
 * @returns what the server's configuration needs, and the file
 */
export async function createAccount(folder: string): Promise<{ config: string; credsFile: string }> {
  const [operator, system, account, user] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createAccount(),
    nkeys.createUser(),
  ];
  const jwts = [
    [system, sign(operator, system, { type: 'account', limits: ACCOUNT })],
    [account, sign(operator, account, { type: 'account', limits: { ...ACCOUNT, ...JETSTREAM } })],
  ] as const;
  const credsFile = join(folder, 'service.creds');
  const seed = new TextDecoder().decode(user.getSeed());
  const jwt = sign(account, user, { type: 'user', pub: {}, sub: {}, ...NO_LIMITS });
  await writeFile(
    credsFile,
    `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
    { mode: 0o600 },
  );
  const config = [
    `operator: ${sign(operator, operator, { type: 'operator' })}`,
    `system_account: ${system.getPublicKey()}`,
    'resolver: MEMORY',
    `resolver_preload: { ${jwts.map(([keys, text]) => `${keys.getPublicKey()}: ${text}`).join(', ')} }`,
  ].join('\n');
  return { config, credsFile };
}
