/** `headway token`, as the process that an operator starts. */
import { describe, expect, test } from 'vitest';
import type { Grant } from '../../internal/auth/grant.js';
import { createVerifier, type VerifierSettings } from '../../internal/auth/verifier.js';
import { type Ended, type Env, headway as runHeadway } from '../harness/headway-command.js';
import { JWT_SECRET } from '../harness/jwt.js';

const SECRET: Env = { HEADWAY_JWT_SECRET: JWT_SECRET };

/** Runs `headway`, which never shows the secret; `cut` closes streams before anything can be read. */
async function headway(
  args: readonly string[],
  env: Env = SECRET,
  cut: ('stdout' | 'stderr')[] = [],
): Promise<Ended> {
  const ended = await runHeadway(args, { env, cut });
  expect(ended.stdout + ended.stderr).not.toContain(JWT_SECRET);
  return ended;
}

/** The grant of the token that the command prints. */
async function grantOf(
  args: readonly string[],
  env = SECRET,
  settings: Partial<VerifierSettings> = {},
): Promise<Grant> {
  const { code, stdout, stderr } = await headway(['token', ...args], env);
  expect({ code, stderr }).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/^headway: the token expires at .*Z\n$/),
  });
  expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  const verifier = createVerifier({ secret: JWT_SECRET, clockToleranceSeconds: 0, ...settings }, Date.now);
  const result = await verifier.verify(stdout.trimEnd());
  if (!result.ok) throw new Error(result.message);
  return result.grant;
}

describe('a token that is printed', () => {
  test('opens the jobs and types that were named, for one subject', async () => {
    const args = [
      '--job',
      'a',
      '--job',
      'b-1',
      '--job',
      'a',
      '--job-type',
      'pdf.ocr',
      '--subject',
      'Ada Lovelace',
    ];
    expect(await grantOf(args)).toMatchObject({
      subject: 'Ada Lovelace',
      jobs: new Set(['a', 'b-1']),
      jobTypes: new Set(['pdf.ocr']),
    });
  });

  test('opens every job with --all', async () => {
    expect(await grantOf(['--all'])).toMatchObject({ subject: null, jobs: 'all', jobTypes: new Set() });
  });

  test.each<[args: string[], seconds: number]>([
    [[], 3_600],
    [['--expires-in', '90s'], 90],
    [['--expires-in', '15m'], 900],
    [['--expires-in', '2h'], 7_200],
    [['--expires-in', '7d'], 604_800],
    [['--expires-in', '1h30m'], 5_400],
  ])('%j lasts %i s', async (args, seconds) => {
    const before = Math.floor(Date.now() / 1000);
    const { expiresAt } = await grantOf(['--all', ...args]);
    expect(expiresAt / 1000).toBeGreaterThanOrEqual(before + seconds);
    expect(expiresAt / 1000).toBeLessThanOrEqual(Date.now() / 1000 + seconds);
  });

  test('names issuer and audience, from the options or else from the settings of the edge', async () => {
    const edge = { issuer: 'https://id.example', audience: 'headway' };
    const env = { ...SECRET, HEADWAY_JWT_ISSUER: edge.issuer, HEADWAY_JWT_AUDIENCE: edge.audience };
    await grantOf(['--all'], env, edge);
    await grantOf(['--all', '--issuer', edge.issuer, '--audience', edge.audience], SECRET, edge);
    await expect(grantOf(['--all', '--issuer', 'another'], env, edge)).rejects.toThrow(/issuer/);
    await expect(grantOf(['--all'], SECRET, edge)).rejects.toThrow(/missing/);
  });
});

describe('a mistake is told in one paragraph, with exit code 2 and nothing on stdout', () => {
  const jobs = Array.from({ length: 1_000 }, (_, i) => ['--job', `a-long-job-id-${i}`]).flat();
  test.each<[args: string[], told: RegExp, env?: Env]>([
    [['token'], /Say what the token opens: --job ID, --job-type TYPE .* or --all/],
    [['token', '--all', '--job', 'a'], /leave out either --all, or --job and --job-type/],
    [['token', '--job', 'a.b'], /'a\.b' is invalid\. Expected 1 to 128 of A-Z a-z 0-9 _ -/],
    [['token', '--job', '*'], /or --all/],
    [['token', '--job-type', 'a b'], /Expected 1 to 64/],
    [['token', '--job'], /argument missing/],
    [['token', '--all', '--subject', ''], /Expected text of 1 to 256 characters/],
    [['token', '--all', '--expires-in', '0s'], /Expected a number with s, m, h or d, such as 90s/],
    [['token', '--all', '--expires-in', '-1h'], /Expected a number/],
    [['token', '--all', '--expires-in', '1.5h'], /Expected a number/],
    [['token', '--all', '--expires-in', '1500ms'], /whole seconds/],
    [['token', '--all', '--expires-in', '367d'], /at most 366d/],
    [['token', '--al'], /unknown option '--al' \(Did you mean --all\?\)/],
    [['token', 'job-1'], /too many arguments/],
    [['tokn'], /unknown command 'tokn' \(Did you mean token\?\)/],
    [['token', ...jobs], /An edge would not take this token: the token has \d+ characters; .* at most 8192/],
    [['token', ...jobs, '--job', 'one-more'], /jobs is not valid; expected a list of 1 to 1000 jobs/],
    [['token', '--all'], /HEADWAY_JWT_SECRET is not set; .*openssl rand/, {}],
    [['token', '--all'], /HEADWAY_JWT_SECRET is not set/, { HEADWAY_JWT_SECRET: '' }],
    [
      ['token', '--all'],
      /HEADWAY_JWT_SECRET has 7 bytes; expected at least 32/,
      { HEADWAY_JWT_SECRET: 'hunter2' },
    ],
    [
      ['token', '--all'],
      /HEADWAY_JWT_SECRET is a key in PEM or JSON; expected random text/,
      { HEADWAY_JWT_SECRET: '-----BEGIN PUBLIC KEY-----\nhunter2hunter2' },
    ],
  ])('%j', async (args, told, env) => {
    const { code, stdout, stderr } = await headway(args, env);
    expect(stderr).toMatch(/^headway: \S.*\n$/);
    expect(stderr).toMatch(told);
    expect(stderr).not.toContain('hunter2');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  test('without a command: the help, on stderr', async () => {
    const { code, stdout, stderr } = await headway([]);
    expect(stderr).toMatch(/^Usage: headway [\s\S]*\n {2}token /);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});

describe('--help', () => {
  test.each([
    [['--help'], /^Usage: headway \[options\] \[command\]\n[\s\S]*token[\s\S]*Exit codes:\n {2}0 +done/],
    [['help'], /^Usage: headway /],
    [
      ['token', '--help'],
      /^Usage: headway token [\s\S]*--expires-in <time> .*\(default: 1h\)[\s\S]*\nExamples:\n {2}headway token --job/,
    ],
    [['help', 'token'], /^Usage: headway token /],
  ])('%j is on stdout, needs no secret, and is no error', async (args, text) => {
    const { code, stdout, stderr } = await headway(args, {});
    expect(stdout).toMatch(text);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});

describe('a broken pipe is no error', () => {
  test.each([
    [['token', '--all'], ['stdout']],
    [
      ['token', '--all'],
      ['stdout', 'stderr'],
    ],
    [['token', '--help'], ['stdout']],
  ] as [string[], ('stdout' | 'stderr')[]][])('%j without %j', async (args, cut) => {
    const { code, signal, stderr } = await headway(args, SECRET, cut);
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    expect(stderr).not.toContain('EPIPE');
  });

  test('but a mistake stays one', async () => {
    expect((await headway(['token'], SECRET, ['stdout'])).code).toBe(2);
    expect((await headway(['token'], SECRET, ['stdout', 'stderr'])).code).toBe(2);
  });
});
