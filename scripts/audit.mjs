/**
 * Looks up known vulnerabilities of what package-lock.json and the Python project install. Ends with 1 when one of them
 * has a fix and no exception in audit-exceptions.json. Each way of asking that this machine has no means for is skipped,
 * with one line that says what is missing. `make audit`
 *
 * 1. `npm audit` without development packages. It takes a second, and needs a registry that has advisories.
 * 2. osv-scanner with everything, Python included. When it has to be built with Go, that takes two to three minutes
 *    once, so it is built only where its data can be reached, and kept in .tools/.
 *
 * Environment: OSV_SCANNER_BIN, a program to use instead; OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY, databases of osv-scanner
 * to use instead of asking api.osv.dev; HEADWAY_AUDIT_EXCEPTIONS, HEADWAY_TOOLS: another file, another folder.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const OSV_VERSION = '2.2.2';
const OSV_API = 'https://api.osv.dev/v1/vulns/GHSA-35jh-r3h4-6jhm';
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TOOLS = join(process.env.HEADWAY_TOOLS ?? join(ROOT, '.tools'), 'osv-scanner', OSV_VERSION);

const say = (line) => process.stdout.write(`${line}\n`);

/** Why one way of asking is left out. */
class Skipped extends Error {}

function run(program, options, environment = {}) {
  return spawnSync(program, options, {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, ...environment },
    maxBuffer: 64 * 1024 * 1024,
    timeout: 600_000,
  });
}

const runs = (program, option) => run(program, [option]).status === 0;
const lastLine = (text) => text.trim().split('\n').at(-1) ?? '';

function askNpm() {
  const { stdout, stderr, error } = run('npm', ['audit', '--omit=dev', '--json']);
  if (error !== undefined) throw new Skipped(`npm cannot be run (${error.code ?? error.message})`);
  let report;
  try {
    report = JSON.parse(stdout);
  } catch {
    throw new Skipped(`npm audit gives no report: ${lastLine(stderr)}`);
  }
  if (report.vulnerabilities === undefined) {
    throw new Skipped(
      `the npm registry gives no advisories: ${report.message ?? report.error?.summary ?? 'it does not say why'}`,
    );
  }
  say('audit: npm audit was asked about the packages of package-lock.json, without those for development');
  // A name in `via` is another package of the report, which has the advisory itself.
  return Object.values(report.vulnerabilities).flatMap(({ via, fixAvailable }) =>
    via
      .filter((one) => typeof one === 'object')
      .map(({ name, url, source, title }) => ({
        ids: [url?.split('/').at(-1) ?? String(source)],
        name,
        title,
        hasFix: Boolean(fixAvailable),
      })),
  );
}

async function isReached(url) {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(10_000) })).ok;
  } catch {
    return false;
  }
}

function osvScanner() {
  const named = process.env.OSV_SCANNER_BIN;
  const built = join(TOOLS, 'osv-scanner');
  const found = [named, 'osv-scanner', built].find((one) => one !== undefined && runs(one, '--version'));
  if (found !== undefined) return found;
  if (!runs('go', 'version')) throw new Skipped('there is no osv-scanner, and no Go to build it with');
  say(`== building osv-scanner ${OSV_VERSION} with Go into .tools/osv-scanner (two to three minutes, once)`);
  const path = `github.com/google/osv-scanner/v2/cmd/osv-scanner@v${OSV_VERSION}`;
  const { status, stderr } = run('go', ['install', path], { GOBIN: TOOLS });
  if (status !== 0) throw new Skipped(`Go cannot download and build osv-scanner: ${lastLine(stderr)}`);
  return built;
}

/** What pip has chosen for the Python project, since that one names ranges. */
function pythonPackages() {
  const python = join(ROOT, '.tools/python/bin/python');
  if (!existsSync(python)) {
    say('audit: the Python project is left out: scripts/test-python.sh has not installed its packages');
    return [];
  }
  const frozen = run(python, ['-m', 'pip', 'freeze', '--exclude-editable']).stdout;
  const folder = join(ROOT, '.tools/audit');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'requirements.txt');
  writeFileSync(file, frozen);
  return [`--lockfile=${file}`];
}

async function askOsv() {
  const isOffline = process.env.OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY !== undefined;
  if (!isOffline && !(await isReached(OSV_API))) {
    throw new Skipped('osv-scanner has no data: api.osv.dev does not answer');
  }
  const scanner = osvScanner();
  const { stdout, stderr, status } = run(scanner, [
    ...['scan', 'source', '--format=json', '--lockfile=package-lock.json'],
    ...pythonPackages(),
    ...(isOffline ? ['--offline', '--offline-vulnerabilities'] : []),
  ]);
  // 1: it has found something.
  if (status !== 0 && status !== 1) throw new Skipped(`osv-scanner fails (${status}): ${lastLine(stderr)}`);
  const { results } = JSON.parse(stdout);
  say('audit: osv-scanner was asked about all packages');
  return results.flatMap(({ packages }) =>
    packages.flatMap(({ package: { name }, vulnerabilities }) =>
      vulnerabilities.map(({ id, aliases = [], summary, affected = [] }) => ({
        ids: [id, ...aliases],
        name,
        title: summary ?? '',
        hasFix: affected
          .filter((one) => one.package?.name === name)
          .flatMap(({ ranges = [] }) => ranges.flatMap(({ events }) => events))
          .some(({ fixed }) => fixed !== undefined),
      })),
    ),
  );
}

/** Each finding once, though two ways tell of it. It has a fix when one of them knows of one. */
function merged(findings) {
  const all = [];
  for (const finding of findings) {
    const same = all.find(
      ({ name, ids }) => name === finding.name && ids.some((id) => finding.ids.includes(id)),
    );
    if (same === undefined) all.push({ ...finding });
    else {
      same.hasFix ||= finding.hasFix;
      same.ids = [...new Set([...same.ids, ...finding.ids])];
    }
  }
  return all;
}

/** The exception that holds today. One without a reason or a date is a mistake. */
function exceptionFor({ ids, name }, exceptions, today) {
  return exceptions.find((one) => ids.includes(one.id) && one.package === name && today <= one.until);
}

function readExceptions() {
  const exceptions = JSON.parse(
    readFileSync(process.env.HEADWAY_AUDIT_EXCEPTIONS ?? join(ROOT, 'scripts/audit-exceptions.json'), 'utf8'),
  );
  for (const { id, package: name, reason, until } of exceptions) {
    if (!id || !name || !reason || !/^\d{4}-\d\d-\d\d$/.test(until ?? '')) {
      throw new Error(
        `audit-exceptions.json: ${id ?? name} needs id, package, reason, and until (2026-01-31)`,
      );
    }
  }
  return exceptions;
}

const exceptions = readExceptions();
const findings = [];
for (const ask of [askNpm, askOsv]) {
  try {
    findings.push(...(await ask()));
  } catch (error) {
    if (!(error instanceof Skipped)) throw error;
    say(`audit: skipped: ${error.message}`);
  }
}
const today = new Date().toISOString().slice(0, 10);
let open = 0;
for (const finding of merged(findings)) {
  const { ids, name, title, hasFix } = finding;
  const exception = exceptionFor(finding, exceptions, today);
  if (hasFix && exception === undefined) open += 1;
  const outcome = exception
    ? `excepted until ${exception.until}: ${exception.reason}`
    : hasFix
      ? 'there is a fix: upgrade it, or write an exception'
      : 'no fix yet';
  say(`audit: ${name}: ${ids[0]}: ${title} (${outcome})`);
}
if (open > 0) {
  say(`audit: ${open} known ${open === 1 ? 'vulnerability has' : 'vulnerabilities have'} a fix`);
  process.exitCode = 1;
}
