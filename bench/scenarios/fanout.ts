/** One job that many people look at: what each delivered update costs the server, alone or several in one turn. */
import { Load } from '../harness/load.js';
import { jobId } from '../harness/payload.js';
import type { Measure, Run, Scenario } from '../harness/scenario.js';
import type { Subject, SubjectName } from '../harness/subject.js';
import { inTurns, openAll } from '../harness/turns.js';
import { cpuMicros } from '../harness/usage.js';
import { available, startSubject } from '../subjects/index.js';

const JOB = jobId(0);
const PEERS: readonly SubjectName[] = ['headway', 'limit', 'ws', 'socket-io', 'centrifugo'];
const FEWER_PEERS: readonly SubjectName[] = ['headway', 'limit', 'socket-io', 'centrifugo'];

interface Audience extends AsyncDisposable {
  readonly name: SubjectName;
  readonly subject: Subject;
  readonly load: Load;
}

/** A server with so many clients of one job. */
async function audience(name: SubjectName, clients: number): Promise<Audience> {
  const subject = await startSubject(name);
  const load = new Load();
  await load.connect(subject.clientOf(JOB), clients);
  return {
    name,
    subject,
    load,
    async [Symbol.asyncDispose]() {
      await load[Symbol.asyncDispose]();
      await subject[Symbol.asyncDispose]();
    },
  };
}

/**
 * The server's CPU for each delivered update, in microseconds. The next events follow when every client has all of
 * those before, so that no turn takes in more than it was given.
 * @param budget how much CPU the server is to use up
 */
async function cost({ subject, load }: Audience, events: number, budget: number): Promise<number> {
  const before = cpuMicros(subject.pid);
  let rounds = 0;
  while (cpuMicros(subject.pid) - before < budget) {
    subject.publish(JOB, events);
    await load.untilEachHas(events);
    rounds += 1;
  }
  return (cpuMicros(subject.pid) - before) / (rounds * events * load.clients);
}

async function measured(
  { turns, say, isQuick }: Run,
  names: readonly SubjectName[],
  clients: number,
  bursts: readonly number[],
): Promise<Measure[]> {
  await using audiences = await openAll(names, async (name) => {
    say(`${name} with ${clients} clients`);
    return await audience(name, clients);
  });
  const measures: Measure[] = [];
  // The kernel counts in hundredths of a second, which are to be a small part of it.
  const budget = isQuick ? 250_000 : 400_000;
  for (const events of bursts) {
    say(`${clients} clients, ${events} events a turn`);
    measures.push({
      id: `fanout-${clients}x${events}`,
      what: `1 job x ${clients.toLocaleString('en-US')} clients, ${events} event${events === 1 ? '' : 's'} a turn`,
      unit: 'µs of CPU for each delivered update',
      base: 'limit',
      aim: { atMost: events === 1 ? 1.12 : 1.25 },
      samples: await inTurns(audiences.all, turns, (one) => cost(one, events, budget)),
    });
  }
  return measures;
}

export const fanout: Scenario = {
  name: 'fanout',
  title: 'One job, many clients',
  run: async (run) => await measured(run, available(PEERS), 1_000, [1, 10, 100]),
};

export const crowd: Scenario = {
  name: 'crowd',
  title: 'One job, a crowd',
  run: async (run) => await measured(run, available(FEWER_PEERS), run.isQuick ? 3_000 : 9_000, [1]),
};
