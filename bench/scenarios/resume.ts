/** Everybody comes back at once, and each has missed something: how long until all have it, and what it costs the server. */
import { waitFor } from '../../test/harness/wait.js';
import { Load } from '../harness/load.js';
import type { Measure, Run, Scenario } from '../harness/scenario.js';
import type { Missed, Subject, SubjectName } from '../harness/subject.js';
import { openAll, severalInTurns } from '../harness/turns.js';
import { cpuMicros, openFiles, untilIdle } from '../harness/usage.js';
import { headway } from '../subjects/headway.js';
import { chosen, startSubject } from '../subjects/index.js';

const JOBS = 200;
/** A server has no more open without clients. */
const FEW_FILES = 200;
/** So small that all of what was missed has to be read from the stream. */
const NO_TAIL = { HEADWAY_TAIL_BYTES: '65536' };

interface Herd extends AsyncDisposable {
  readonly name: SubjectName;
  /** All come, and are gone again. @returns seconds of all, and µs of the server's CPU for each client */
  comeBack(): Promise<{ time: number; cpu: number }>;
}

async function herd(subject: Subject, missed: Missed, clients: number): Promise<Herd> {
  if (subject.behind === undefined) throw new Error(`${subject.name} keeps nothing`);
  const spec = await subject.behind(missed);
  const load = new Load();
  const { name, pid } = subject;
  return {
    name,
    async comeBack() {
      const [cpu, began] = [cpuMicros(pid), performance.now()];
      await load.herd(spec, clients, missed.events * missed.of).catch((error: unknown) => {
        throw new Error(`${name}: ${String(error)}`);
      });
      const time = (performance.now() - began) / 1_000;
      const used = cpuMicros(pid) - cpu;
      await load.cut();
      // Those who go are not to cost those who come in the next turn.
      await waitFor(() => openFiles(pid) < FEW_FILES, {
        what: `${name} to have closed all`,
        timeoutMs: 60_000,
      });
      await untilIdle(pid);
      return { time, cpu: used / clients };
    },
    async [Symbol.asyncDispose]() {
      await load[Symbol.asyncDispose]();
      await subject[Symbol.asyncDispose]();
    },
  };
}

interface Case {
  readonly id: string;
  readonly what: string;
  readonly clients: number;
  readonly missed: Missed;
  readonly atMost: number;
  readonly names: readonly SubjectName[];
  readonly env?: Readonly<Record<string, string>>;
}

async function measured(
  { say, isQuick }: Run,
  { id, what, clients, missed, atMost, names, env }: Case,
): Promise<Measure[]> {
  await using herds = await openAll(names, async (name) => {
    say(`${name}: ${what}`);
    return await herd(name === 'headway' ? await headway(1, env) : await startSubject(name), missed, clients);
  });
  const samples = await severalInTurns(herds.all, isQuick ? 2 : 3, (one) => one.comeBack());
  const aim = { atMost };
  return [
    {
      id: `${id}-time`,
      what,
      unit: 'seconds until all have what they missed',
      base: 'limit',
      aim,
      samples: samples.time,
    },
    { id: `${id}-cpu`, what, unit: 'µs of CPU for each client', base: 'limit', samples: samples.cpu },
  ];
}

async function run(options: Run): Promise<Measure[]> {
  const { isQuick } = options;
  const [crowd, peers, selecting, cold] = isQuick ? [1_000, 0, 500, 300] : [10_000, 5_000, 5_000, 1_000];
  const clientsOf = (count: number): string => `${count.toLocaleString('en-US')} clients`;
  const behind = (clients: number, names: readonly SubjectName[]): Case => ({
    id: `resume-${clients}`,
    what: `${clientsOf(clients)}, 50 events behind`,
    clients,
    missed: { jobs: JOBS, events: 50, of: 1 },
    atMost: 1.4,
    names,
  });
  return [
    ...(await measured(options, behind(crowd, ['headway', 'limit']))),
    // With more of them at once, Centrifugo cuts off clients that come back.
    ...(peers === 0
      ? []
      : await measured(options, behind(peers, chosen(['headway', 'limit', 'centrifugo'], isQuick)))),
    ...(await measured(options, {
      id: `resume-${selecting}x20`,
      what: `${clientsOf(selecting)} of 20 selected jobs each, 3 events of each behind`,
      clients: selecting,
      missed: { jobs: JOBS, events: 3, of: 20 },
      atMost: 1.4,
      names: ['headway', 'limit'],
    })),
    ...(await measured(options, {
      id: `resume-${cold}-cold`,
      what: `${clientsOf(cold)}, 50 events behind, and none of them in memory`,
      clients: cold,
      missed: { jobs: JOBS, events: 50, of: 1 },
      atMost: 4,
      names: ['headway', 'limit'],
      env: NO_TAIL,
    })),
  ];
}

export const resume: Scenario = { name: 'resume', title: 'Everybody comes back at once', run };
