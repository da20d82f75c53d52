/** The files for TLS: what is said of those that cannot be used, and when an edge takes new ones. */
import { execFileSync } from 'node:child_process';
import { readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  CertificateWatcher,
  readTlsFiles,
  type TlsFiles,
  type TlsReloadEvent,
  validity,
} from '../../internal/edge/tls.js';
import { TlsFilesError } from '../../internal/errors.js';
import { Authority, type Certified, put } from '../harness/certificates.js';
import { waitFor } from '../harness/wait.js';
import { guardedFolder } from '../harness/watchdog.js';

let folder: Awaited<ReturnType<typeof guardedFolder>>;
let authority: Authority;
let first: Certified;
let second: Certified;
let files: TlsFiles;
beforeAll(async () => {
  folder = await guardedFolder('headway-tls');
  authority = await Authority.create(folder.path);
  first = await authority.issue('first');
  second = await authority.issue('second');
  files = { certFile: join(folder.path, 'tls.crt'), keyFile: join(folder.path, 'tls.key') };
});
afterAll(async () => {
  await folder.remove();
});
beforeEach(async () => {
  await put(files.certFile, first.cert);
  await put(files.keyFile, first.key);
});

/** The one paragraph that is said of these files. */
async function explanation(of: Partial<TlsFiles> = {}): Promise<string> {
  const error = await readTlsFiles({ ...files, ...of }).catch((thrown: unknown) => thrown);
  if (!(error instanceof TlsFilesError)) throw new Error('the files were taken', { cause: error });
  expect(error.exitCode).toBe(2);
  expect(error.message).toMatch(/^Cannot serve TLS: [^\n]+ or set neither and leave TLS to a proxy\.$/);
  expect(error.message).not.toMatch(/-----|PRIVATE|^\s*at /);
  return error.message;
}

describe('files that can be used', () => {
  test.each([
    ['RSA', ['-newkey', 'rsa:2048']],
    ['P-384', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384']],
    ['Ed25519', ['-newkey', 'ed25519']],
  ])('a key of %s', async (_kind, newKey) => {
    const { cert, key } = await authority.issue('kind', { newKey });
    await put(files.certFile, cert);
    await put(files.keyFile, key);
    const { validFrom, validTo } = await readTlsFiles(files);
    expect(validTo - validFrom).toBe(30 * 86_400_000);
    expect(Math.abs(validFrom - Date.now())).toBeLessThan(600_000);
  });

  test('a chain behind the certificate, and both in one file', async () => {
    await put(files.certFile, `${first.cert}${authority.pem}${first.key}`);
    expect(await readTlsFiles({ certFile: files.certFile, keyFile: files.certFile })).toBeDefined();
  });

  test('a certificate that has expired, or is not valid yet', async () => {
    const pair = await readTlsFiles(files);
    expect(validity(pair, pair.validFrom - 1)).toBe('not_yet');
    expect(validity(pair, pair.validFrom)).toBe('valid');
    expect(validity(pair, pair.validTo)).toBe('valid');
    expect(validity(pair, pair.validTo + 1)).toBe('expired');
  });

  test('differ in their digest when either of them does', async () => {
    const digests = new Set([(await readTlsFiles(files)).digest]);
    await put(files.keyFile, `${first.key}\n`);
    digests.add((await readTlsFiles(files)).digest);
    await put(files.certFile, `${first.cert}\n`);
    digests.add((await readTlsFiles(files)).digest);
    expect(digests.size).toBe(3);
  });
});

describe('files that cannot be used are named, and what is in them is not shown', () => {
  test('both that are not there, at once', async () => {
    const text = await explanation({ certFile: '/nowhere/tls.crt', keyFile: '/nowhere/tls.key' });
    expect(text).toContain(
      'HEADWAY_TLS_CERT is "/nowhere/tls.crt"; there is no such file; HEADWAY_TLS_KEY is',
    );
    expect(text).toContain('HEADWAY_TLS_KEY is "/nowhere/tls.key"; there is no such file');
  });

  test('a folder, a device, and what is too large to be one', async () => {
    expect(await explanation({ certFile: folder.path })).toContain(
      `HEADWAY_TLS_CERT is "${folder.path}"; expected a file that can be read again and again`,
    );
    expect(await explanation({ keyFile: '/dev/zero' })).toContain(
      'HEADWAY_TLS_KEY is "/dev/zero"; expected a',
    );
    await put(files.keyFile, `${first.key}${' '.repeat(1024 * 1024)}`);
    expect(await explanation()).toContain('larger than 1 MiB');
  });

  test('what is no PEM, or damaged', async () => {
    await put(files.certFile, 'hunter2');
    await put(files.keyFile, 'hunter2');
    const text = await explanation();
    expect(text).toContain('expected a PEM file with a certificate, but there is none in it');
    expect(text).toContain(
      'expected a PEM file with a private key, but there is none in it that can be read',
    );
    expect(text).not.toContain('hunter2');

    const middle = first.cert.length / 2;
    await put(files.certFile, `${first.cert.slice(0, middle)}\n${first.cert.slice(middle + 8)}`);
    expect(await explanation()).toContain(
      'expected a PEM file with a certificate, but what is in it is damaged',
    );
    await put(files.certFile, first.cert.slice(0, middle));
    expect(await explanation()).toContain('there is none in it');
  });

  test('the two in each other’s place', async () => {
    const text = await explanation({ certFile: files.keyFile, keyFile: files.certFile });
    expect(text).toMatch(
      /HEADWAY_TLS_CERT is [^;]+; expected a PEM file with a certificate, but there is none/,
    );
    expect(text).toMatch(
      /HEADWAY_TLS_KEY is [^;]+; expected a PEM file with a private key, but there is none/,
    );
  });

  test('a key with a passphrase, old and new style', async () => {
    await put(files.keyFile, first.key);
    const locked = join(folder.path, 'locked.key');
    for (const how of [
      ['ec', '-aes128'],
      ['pkcs8', '-topk8'],
    ]) {
      const options = ['-in', files.keyFile, '-passout', 'pass:hunter2', '-out', locked];
      execFileSync('openssl', [...how, ...options], { stdio: 'ignore' });
      const text = await explanation({ keyFile: locked });
      expect(text).toContain(`HEADWAY_TLS_KEY is "${locked}"; expected a key without a passphrase`);
    }
  });

  test.each([
    ['secp224r1', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-224']],
    ['secp256k1', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp256k1']],
    ['rsa-pss', ['-newkey', 'rsa-pss', '-pkeyopt', 'rsa_keygen_bits:2048']],
    ['ed448', ['-newkey', 'ed448']],
  ])('a key of %s, which no handshake succeeds with', async (kind, newKey) => {
    const { cert, key } = await authority.issue('kind', { newKey });
    await put(files.certFile, cert);
    await put(files.keyFile, key);
    expect(await explanation()).toContain(
      `expected a key of RSA, P-256, P-384, P-521 or Ed25519, but it is of ${kind}`,
    );
  });

  test('the key of another certificate, or the chain in the wrong order', async () => {
    await put(files.keyFile, second.key);
    expect(await explanation()).toContain(
      `HEADWAY_TLS_KEY is "${files.keyFile}"; expected the key of the certificate in HEADWAY_TLS_CERT, ` +
        `"${files.certFile}", but it is another one`,
    );
    await put(files.certFile, `${authority.pem}${second.cert}`);
    expect(await explanation()).toContain('the certificate of the key in HEADWAY_TLS_KEY is number 2 in it');
  });
});

describe('the watch', () => {
  interface Watched {
    watch: CertificateWatcher;
    news: TlsReloadEvent[];
    loads: number;
    clock: number;
    loadFails: Error | null;
  }
  async function watched(everyMs = 3_600_000): Promise<Watched> {
    const served = await readTlsFiles(files);
    const world: Omit<Watched, 'watch'> = { news: [], loads: 0, clock: Date.now(), loadFails: null };
    const watch = new CertificateWatcher(served, {
      files,
      load: () => {
        if (world.loadFails !== null) throw world.loadFails;
        world.loads += 1;
      },
      report: (news) => world.news.push(news),
      everyMs,
      now: () => world.clock,
    });
    return Object.assign(world, { watch });
  }

  test('loads what changed, once, and nothing else', async () => {
    const world = await watched();
    await world.watch.look();
    expect(world).toMatchObject({ loads: 0, news: [] });
    await put(files.certFile, second.cert);
    await put(files.keyFile, second.key);
    await world.watch.look();
    await world.watch.look();
    const { validTo } = await readTlsFiles(files);
    expect(world).toMatchObject({ loads: 1, news: [{ kind: 'reloaded', validTo }] });
  });

  test('sees a swap behind symbolic links, as Kubernetes makes them', async () => {
    const of = (name: string): string => join(folder.path, name);
    const folders: [string, Certified][] = [
      ['k8s-1', first],
      ['k8s-2', second],
    ];
    for (const [name, { cert, key }] of folders) {
      await rm(of(name), { recursive: true, force: true });
      execFileSync('mkdir', [of(name)]);
      await writeFile(join(of(name), 'tls.crt'), cert);
      await writeFile(join(of(name), 'tls.key'), key);
    }
    await symlink('k8s-1', of('..data'));
    files = { certFile: of('linked.crt'), keyFile: of('linked.key') };
    await symlink('..data/tls.crt', files.certFile);
    await symlink('..data/tls.key', files.keyFile);
    const world = await watched();
    await symlink('k8s-2', of('..data_tmp'));
    await rename(of('..data_tmp'), of('..data'));
    await world.watch.look();
    expect(world).toMatchObject({ loads: 1, news: [{ kind: 'reloaded' }] });
    expect(await readFile(files.certFile, 'utf8')).toBe(second.cert);
    files = { certFile: of('tls.crt'), keyFile: of('tls.key') };
  });

  test('keeps the old while only one of two files is new, and says nothing of it', async () => {
    const world = await watched();
    await put(files.certFile, second.cert);
    await world.watch.look();
    expect(world).toMatchObject({ loads: 0, news: [] });
    await put(files.keyFile, second.key);
    await world.watch.look();
    expect(world).toMatchObject({ loads: 1, news: [{ kind: 'reloaded' }] });
  });

  test('tells once what is still wrong at the second look, and again what is wrong after it was right', async () => {
    const world = await watched();
    await put(files.certFile, 'hunter2');
    for (let i = 0; i < 4; i++) await world.watch.look();
    expect(world).toMatchObject({ loads: 0, news: [{ kind: 'kept' }] });
    expect(JSON.stringify(world.news)).toContain(
      `HEADWAY_TLS_CERT is \\"${files.certFile}\\"; expected a PEM`,
    );
    await rm(files.certFile);
    for (let i = 0; i < 4; i++) await world.watch.look();
    expect(world.news).toHaveLength(2);
    expect(JSON.stringify(world.news[1])).toContain('there is no such file');
    await put(files.certFile, first.cert);
    await world.watch.look();
    expect(world).toMatchObject({ loads: 0 });
    await rm(files.certFile);
    for (let i = 0; i < 4; i++) await world.watch.look();
    expect(world.news.map(({ kind }) => kind)).toEqual(['kept', 'kept', 'kept']);
  });

  test('tries again when loading fails, until it succeeds', async () => {
    const world = await watched();
    world.loadFails = new TlsFilesError(['no']);
    await put(files.certFile, second.cert);
    await put(files.keyFile, second.key);
    for (let i = 0; i < 3; i++) await world.watch.look();
    expect(world).toMatchObject({ loads: 0, news: [{ kind: 'kept', reason: 'no' }] });
    world.loadFails = null;
    await world.watch.look();
    expect(world).toMatchObject({ loads: 1 });
    expect(world.news.map(({ kind }) => kind)).toEqual(['kept', 'reloaded']);
  });

  test('tells once that the certificate in use has expired', async () => {
    const world = await watched();
    const { validTo, validFrom } = await readTlsFiles(files);
    world.clock = validTo + 1;
    for (let i = 0; i < 3; i++) await world.watch.look();
    expect(world.news).toEqual([{ kind: 'untimely', validity: 'expired', at: validTo }]);
    world.clock = validFrom - 1;
    await world.watch.look();
    expect(world.news.at(-1)).toEqual({ kind: 'untimely', validity: 'not_yet', at: validFrom });
  });

  test('looks by itself, and not after it was closed', async () => {
    const world = await watched(1);
    world.watch.start();
    await put(files.certFile, second.cert);
    await put(files.keyFile, second.key);
    await waitFor(() => world.loads === 1, { what: 'the change to be seen' });
    const looking = world.watch.look();
    world.watch.close();
    await put(files.certFile, first.cert);
    await put(files.keyFile, first.key);
    await looking;
    await world.watch.look();
    expect(world.loads).toBe(1);
  });
});
