/** A process that publishes events, so that the ones who are measured, and their clients, have nothing to do with it. */
import { connect } from 'nats';
import { eventOf, jobId } from './payload.js';
import { type Pace, serve } from './subject.js';

export type PublisherCommand =
  | ({ readonly kind: 'pace' } & Pace)
  /** As fast as it can, of each job in turn. */
  | { readonly kind: 'flood'; readonly events: number; readonly jobs: number };

/** So many are written before the server is asked whether it has them. */
const FLOOD_WINDOW = 2_000;

const nc = await connect({ servers: process.argv[2] ?? '', noAsyncTraces: true });
let made = 0;

function publish(jobs: number): void {
  const job = jobId(made % jobs);
  nc.publish(`progress.${job}`, eventOf(job, made++));
}

/** At each tick those that are due by then leave in one write. */
async function pace({ perSecond, seconds, jobs, tickMs }: Pace): Promise<void> {
  const began = performance.now();
  let sent = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const passed = Math.min(seconds * 1_000, performance.now() - began);
      for (const due = Math.floor((passed * perSecond) / 1_000); sent < due; sent++) publish(jobs);
      if (passed < seconds * 1_000) return;
      clearInterval(timer);
      resolve();
    }, tickMs);
  });
}

async function flood(events: number, jobs: number): Promise<void> {
  for (let sent = 0; sent < events; ) {
    for (let i = 0; i < FLOOD_WINDOW && sent < events; i++, sent++) publish(jobs);
    await nc.flush();
  }
}

async function act(command: PublisherCommand): Promise<void> {
  if (command.kind === 'pace') await pace(command);
  else await flood(command.events, command.jobs);
  await nc.flush();
  process.send?.('done');
}

serve<PublisherCommand>(0, (command) => void act(command));
