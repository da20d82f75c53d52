/** One job that many people look at: what each delivered update costs the server, alone or several in one turn. */
import { Audience } from '../harness/audience.js';
import { jobId } from '../harness/payload.js';
import type { Measure, Run, Scenario } from '../harness/scenario.js';
import type { SubjectName } from '../harness/subject.js';
import { inTurns, openAll } from '../harness/turns.js';
import { chosen, startSubject } from '../subjects/index.js';

const JOB = jobId(0);
const PEERS: readonly SubjectName[] = ['headway', 'limit', 'ws', 'socket-io', 'centrifugo'];
const FEWER_PEERS: readonly SubjectName[] = ['headway', 'limit', 'socket-io', 'centrifugo'];

async function measured(
  { turns, say, isQuick }: Run,
  names: readonly SubjectName[],
  clients: number,
  id: string,
  bursts: readonly number[],
): Promise<Measure[]> {
  await using audiences = await openAll(chosen(names, isQuick), async (name) => {
    say(`${name} with ${clients} clients`);
    const audience = new Audience(name, await startSubject(name));
    await audience.load.connect(audience.subject.clientOf(JOB), clients);
    return audience;
  });
  const measures: Measure[] = [];
  for (const events of bursts) {
    say(`${clients} clients, ${events} events a turn`);
    measures.push({
      id: `${id}-${events}`,
      what: `1 job x ${clients.toLocaleString('en-US')} clients, ${events} event${events === 1 ? '' : 's'} a turn`,
      unit: 'µs of CPU for each delivered update',
      base: 'limit',
      aim: { atMost: events === 1 ? 1.12 : 1.25 },
      samples: await inTurns(audiences.all, turns, (one) =>
        one.costOfTurns(JOB, events, isQuick ? 200_000 : 400_000),
      ),
    });
  }
  return measures;
}

export const fanout: Scenario = {
  name: 'fanout',
  title: 'One job, many clients',
  run: async (run) => await measured(run, PEERS, 1_000, 'fanout', [1, 10, 100]),
};

export const crowd: Scenario = {
  name: 'crowd',
  title: 'One job, a crowd',
  run: async (run) => await measured(run, FEWER_PEERS, run.isQuick ? 3_000 : 9_000, 'crowd', [1]),
};
