/**
 * The least that takes events from a stream: a durable pull consumer in callback mode, of which nothing is done with what
 * comes. Told to `{"until":n}` it answers when it has had so many.
 *
 *   node consumer.js <URL of NATS> <stream> <last|new>
 *
 * `last` is the newest event of every job, and what comes behind it: it says that it is there when it has them. `new` is what
 * comes from now on.
 */
import { AckPolicy, connect, DeliverPolicy } from 'nats';

const [url = '', stream = '', from] = process.argv.slice(2);
const nc = await connect({ servers: url, noAsyncTraces: true });
const jsm = await nc.jetstreamManager({ timeout: 60_000 });
const name = `bench-${process.pid}`;
const { num_pending: pending } = await jsm.consumers.add(stream, {
  durable_name: name,
  ack_policy: AckPolicy.None,
  deliver_policy: from === 'last' ? DeliverPolicy.LastPerSubject : DeliverPolicy.New,
  filter_subject: 'progress.*',
});
const consumer = await nc.jetstream({ timeout: 60_000 }).consumers.get(stream, name);
let count = 0;
let until = from === 'last' ? pending : 0;
const check = (): void => {
  if (count < until) return;
  until = Number.POSITIVE_INFINITY;
  process.send?.(0);
};
await consumer.consume({
  max_messages: 5_000,
  callback: () => {
    count += 1;
    check();
  },
});
process.on('message', (message: { readonly until: number }) => {
  until = message.until;
  check();
});
process.on('disconnect', () => process.exit());
check();
