/** `make test-node24`: where it runs the tests, and what it says where it cannot. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../scripts/node24-test.sh', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'headway-node24-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface System {
  /** Whether the library can be loaded on Node 24 here. */
  readonly fits: boolean;
  readonly uid?: number;
  readonly mayMount?: boolean;
}

/** Runs the script on a system that is what stand-ins for its commands say. */
function run({ fits, uid = 0, mayMount = false }: System, ...options: string[]) {
  const program = (name: string, text: string) =>
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  program(
    'node',
    `case $1 in
       --version) echo v24.11.0 ;;
       -p) echo "${folder}/node" ;;
       --input-type=*) exit ${fits ? 0 : 1} ;;
       *) shift; echo "vitest $*" ;;
     esac`,
  );
  program('nats-server', 'echo "nats-server: v2.15.1"');
  program('id', `echo ${uid}`);
  program('unshare', `exit ${mayMount ? 0 : 1}`);
  const { status, stdout, stderr } = spawnSync('bash', [SCRIPT, ...options], {
    env: { PATH: `${folder}:${process.env.PATH}`, NATS_SERVER_BIN: join(folder, 'nats-server') },
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

test('the tests run on this system where the library for Node 24 can be loaded', () => {
  expect(run({ fits: true, uid: 1000 }, '--if-possible', '--project', 'unit')).toEqual({
    status: 0,
    stdout: '== tests on Node v24.11.0, this system, nats-server: v2.15.1\nvitest run --project unit\n',
    stderr: '',
  });
});

describe.runIf(process.platform === 'linux')('where it cannot be loaded', () => {
  test.each<[name: string, system: System, reason: RegExp]>([
    [
      'without root',
      { fits: false, uid: 1000 },
      /needs glibc 2\.38, .* only root can set up another system\./,
    ],
    ['without mounts', { fits: false }, /needs glibc 2\.38, .* root may not mount anything here\./],
  ])('%s, it is skipped in one line when that was allowed, and else an error', (_name, system, reason) => {
    const skipped = run(system, '--if-possible');
    expect(skipped).toMatchObject({ status: 0, stderr: '' });
    expect(skipped.stdout).toMatch(/^== tests on Node 24 are skipped: .*\n$/);
    expect(skipped.stdout).toMatch(reason);
    const refused = run(system);
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toMatch(/^The tests cannot be run on Node 24: .*\n$/);
    expect(refused.stderr).toMatch(reason);
  });
});
