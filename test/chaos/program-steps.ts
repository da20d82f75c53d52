/** What can happen in a random program, and how often. */
import fc from 'fast-check';
import type { Kind } from './oracle.js';
import type { AudienceScope } from './program-audience.js';
import type { ProgramWorld } from './system-under-test.js';

export const JOBS = ['job-0', 'job-1', 'job-2', 'job-3'] as const;
/** Jobs that nobody follows alone. Their states are more than an edge here may hold, so it lets some go. */
const FILLERS = ['other-0', 'other-1', 'other-2', 'other-3', 'other-4'] as const;
/** Last states as large as events may be. */
const LARGE = Array.from({ length: 8 }, (_, index) => `large-${index}`);
const LARGE_LENGTH = 60_000;
const job = fc.constantFrom(...JOBS);
const kind: fc.Arbitrary<Kind> = fc.oneof(
  { weight: 12, arbitrary: fc.constant<Kind>('processing') },
  { weight: 2, arbitrary: fc.constantFrom<Kind>('completed', 'retryable', 'failed', 'invalid') },
);
const scope: fc.Arbitrary<AudienceScope> = fc.oneof(
  job.map((id): AudienceScope => ({ kind: 'job', id })),
  fc.constantFrom<AudienceScope>({ kind: 'all', jobTypes: null }, { kind: 'all', jobTypes: ['odd'] }),
  fc.subarray([...JOBS], { minLength: 2 }).map((ids): AudienceScope => ({ kind: 'selected', ids })),
);
const who = fc.nat(9);
const edge = fc.nat(1);
const is = <T extends string>(name: T) => fc.constant(name);
const pattern = fc.constantFrom('progress.*' as const, 'progress.>' as const);
const times = fc.integer({ min: 1, max: 12 });
// Twenty of the large ones push everything else out of 64 KiB of tail.
const length = fc.constantFrom(10, 200, 3_000);
/** A connection that is cut after so many updates, in the middle of what it is sent; null: it is not. */
const cutAfter = fc.option(fc.integer({ min: 1, max: 3 }), { freq: 2 });

/** Most steps are what happens all the time; a fault is one now and then. */
export const step = fc.oneof(
  { weight: 14, arbitrary: fc.record({ do: is('publish'), job, kind, times, length }) },
  { weight: 4, arbitrary: fc.record({ do: is('connect'), scope, proxied: fc.boolean(), edge }) },
  { weight: 4, arbitrary: fc.record({ do: is('drop'), who }) },
  { weight: 8, arbitrary: fc.record({ do: is('resume'), who, edge, cutAfter }) },
  { weight: 2, arbitrary: fc.record({ do: is('grow'), who, edge }) },
  { weight: 6, arbitrary: fc.record({ do: is('settle') }) },
  { weight: 3, arbitrary: fc.record({ do: is('tear'), edge, job }) },
  { weight: 2, arbitrary: fc.record({ do: is('pause'), who }) },
  { weight: 2, arbitrary: fc.record({ do: is('read'), who }) },
  { weight: 2, arbitrary: fc.record({ do: is('flood'), job }) },
  { weight: 2, arbitrary: fc.record({ do: is('fill') }) },
  { weight: 2, arbitrary: fc.record({ do: is('fillLarge') }) },
  { weight: 2, arbitrary: fc.record({ do: is('burst'), edge, job }) },
  { weight: 1, arbitrary: fc.record({ do: is('pattern'), pattern, times }) },
  { weight: 1, arbitrary: fc.record({ do: is('expire') }) },
  { weight: 1, arbitrary: fc.record({ do: is('transform'), job, untilSeen: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: is('rollUp'), job, untilSeen: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: is('purge') }) },
  { weight: 1, arbitrary: fc.record({ do: is('purgeJob'), job }) },
  { weight: 1, arbitrary: fc.record({ do: is('purgeBelow'), percent: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ do: is('recreate') }) },
  { weight: 1, arbitrary: fc.record({ do: is('deleteConsumer'), edge }) },
  { weight: 1, arbitrary: fc.record({ do: is('pauseConsumer'), edge }) },
  { weight: 1, arbitrary: fc.record({ do: is('editConsumer'), edge, job }) },
  { weight: 2, arbitrary: fc.record({ do: is('cut'), edge }) },
  { weight: 2, arbitrary: fc.record({ do: is('stall'), edge }) },
  { weight: 2, arbitrary: fc.record({ do: is('slow'), edge }) },
  { weight: 2, arbitrary: fc.record({ do: is('flow'), edge }) },
  { weight: 1, arbitrary: fc.record({ do: is('killEdge'), edge }) },
  { weight: 1, arbitrary: fc.record({ do: is('killNats') }) },
  { weight: 1, arbitrary: fc.record({ do: is('publishIntoKill'), job }) },
);
export type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

export const options = fc.record({
  maxPerSubject: fc.constantFrom(5, 40, 1_000),
  maxReplay: fc.constantFrom(60, 1_000_000, 1_000_000),
  audience: fc.array(scope, { minLength: 2, maxLength: 6 }),
  /** At the end everybody arrives, cut after so many updates on each connection. */
  cutAfter: fc.constantFrom(1, 7, 40),
});
export type Options = typeof options extends fc.Arbitrary<infer T> ? T : never;

// Below 1 there is nothing, but nats-server 2.10 takes that for a purge of everything.
async function purgeBelow(world: ProgramWorld, below: number): Promise<void> {
  if (below > 1) await world.purge({ below });
}

export async function take(world: ProgramWorld, next: Step): Promise<void> {
  switch (next.do) {
    case 'publish':
      return world.publish(next.job, next.kind, next.times, next.length);
    case 'flood':
      return world.publish(next.job, 'processing', 450, 10_000);
    case 'fill':
      for (const id of FILLERS) await world.publish(id, 'processing', 1, 30_000);
      return;
    case 'fillLarge':
      for (const id of LARGE) await world.publish(id, 'processing', 1, LARGE_LENGTH);
      return;
    case 'burst':
      return world.burst(next.edge, next.job);
    case 'pattern':
      return world.publishOnPattern(next.pattern, next.times);
    case 'expire':
      return world.expire();
    case 'transform':
      return world.transform(next.job, next.untilSeen);
    case 'rollUp':
      return world.rollUp(next.job, next.untilSeen);
    case 'connect':
      return world.audience.connect(next.scope, next.proxied, next.edge);
    case 'drop':
      return world.audience.drop(next.who);
    case 'resume':
      return world.audience.resume(next.who, next.edge, next.cutAfter);
    case 'grow':
      return world.audience.grow(next.who, next.edge);
    case 'settle':
      return world.audience.settle();
    case 'tear':
      return world.tear(next.edge, next.job);
    case 'pause':
      return world.audience.pause(next.who);
    case 'read':
      return world.audience.read(next.who);
    case 'purge':
      return world.purge({});
    case 'purgeJob':
      return world.purge({ id: next.job });
    case 'purgeBelow':
      return purgeBelow(world, Math.round((world.truth.last * next.percent) / 100));
    case 'recreate':
      return world.recreate();
    case 'deleteConsumer':
      return world.deleteConsumer(next.edge);
    case 'pauseConsumer':
      return world.pauseConsumer(next.edge);
    case 'editConsumer':
      return world.editConsumer(next.edge, next.job);
    case 'cut':
    case 'stall':
    case 'slow':
    case 'flow':
      return world.link(next.edge, next.do);
    case 'killEdge':
      return world.killEdge(next.edge);
    case 'killNats':
      return world.killNats();
    case 'publishIntoKill':
      return world.publishIntoKill(next.job);
  }
}
