/** What a connection costs that has nothing to do: resident memory, of a server that was used before. */
import { setTimeout as delay } from 'node:timers/promises';
import { Load } from '../harness/load.js';
import { jobId } from '../harness/payload.js';
import type { Measure, Run, Scenario } from '../harness/scenario.js';
import type { SubjectName } from '../harness/subject.js';
import { inTurns } from '../harness/turns.js';
import { residentBytes } from '../harness/usage.js';
import { chosen, startSubject } from '../subjects/index.js';

const NAMES: readonly SubjectName[] = ['headway', 'limit', 'ws', 'socket-io', 'centrifugo'];
const JOB = jobId(0);
/** Clients that come and go first: what they leave behind is not memory of connections. */
const BEFORE = 500;
/** Until nothing is under way any more. */
const SETTLE_MS = 1_500;

/** Kilobytes (of 1,000 bytes) for each connection. */
async function kilobytes(name: SubjectName, clients: number): Promise<number> {
  await using subject = await startSubject(name);
  await using load = new Load();
  await load.connect(subject.clientOf(JOB), BEFORE);
  await load.cut();
  await delay(SETTLE_MS);
  const before = residentBytes(subject.pid);
  await load.connect(subject.clientOf(JOB), clients);
  await delay(SETTLE_MS);
  return (residentBytes(subject.pid) - before) / clients / 1_000;
}

async function run({ isQuick, say }: Run): Promise<Measure[]> {
  const clients = isQuick ? 6_000 : 10_000;
  const subjects = chosen(NAMES, isQuick).map((name) => ({ name }));
  const measure = async ({ name }: { name: SubjectName }): Promise<number> => {
    say(`${name} with ${clients} idle clients`);
    return await kilobytes(name, clients);
  };
  // Each turn starts the servers anew.
  const samples = await inTurns(subjects, isQuick ? 1 : 2, measure, false);
  return [
    {
      id: 'memory',
      what: `${clients.toLocaleString('en-US')} idle clients of one job`,
      unit: 'kB of resident memory for each',
      base: 'limit',
      aim: { atMost: 1.47 },
      samples,
    },
  ];
}

export const memory: Scenario = { name: 'memory', title: 'Idle connections', run };
