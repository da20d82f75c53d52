/**
 * Two edges that share one port. Where there are cores enough, how many more updates they deliver than one; where there
 * are not, what the second one costs: each follows the stream for itself.
 */
import { availableParallelism } from 'node:os';
import { Audience } from '../harness/audience.js';
import { jobId } from '../harness/payload.js';
import type { Measure, Run, Scenario } from '../harness/scenario.js';
import { inTurns, openAll } from '../harness/turns.js';
import { headway } from '../subjects/headway.js';

const JOB = jobId(0);
const EVENTS = 10;
/** Two edges, two processes of clients. */
const CORES = 4;

/** Updates a second that all clients get, when the next events follow as soon as all are there. */
async function rate({ subject, load }: Audience, rounds: number): Promise<number> {
  const began = performance.now();
  for (let round = 0; round < rounds; round++) {
    subject.publish(JOB, EVENTS);
    await load.untilEachHas(EVENTS);
  }
  return (rounds * EVENTS * load.clients * 1_000) / (performance.now() - began);
}

async function run({ turns, say, isQuick }: Run): Promise<Measure[]> {
  const hasCores = availableParallelism() >= CORES;
  if (isQuick && !hasCores) return [];
  const clients = isQuick ? 2_000 : 6_000;
  await using audiences = await openAll([1, 2], async (processes) => {
    say(`${clients} clients on ${processes} edges`);
    const name = processes === 1 ? 'one edge' : 'two edges';
    const audience = new Audience(name, await headway(processes));
    await audience.load.connect(audience.subject.clientOf(JOB), clients);
    return audience;
  });
  const of = { base: 'one edge', subject: 'two edges' };
  const what = `${clients.toLocaleString('en-US')} clients of one job, ${EVENTS} events a turn, on one port`;
  if (hasCores) {
    const samples = await inTurns(audiences.all, turns, (one) => rate(one, isQuick ? 10 : 40));
    return [{ ...of, id: 'processes', what, unit: 'updates a second', aim: { atLeast: 1.7 }, samples }];
  }
  say(`fewer than ${CORES} cores: what is measured is CPU, and not how many updates two edges deliver`);
  const samples = await inTurns(audiences.all, turns, (one) => one.costOfTurns(JOB, EVENTS, 400_000));
  const unit = 'µs of CPU of both for each delivered update';
  return [{ ...of, id: 'processes-cpu', what, unit, samples }];
}

export const processes: Scenario = { name: 'processes', title: 'Two edges on one port', run };
