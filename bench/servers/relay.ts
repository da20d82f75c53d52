/**
 * The least that carries events from a stream to clients: a durable pull consumer, a check that it is JSON with a job
 * in it, and bare uWebSockets.js. It keeps nothing, so nobody can resume, and nothing is said of what was missed.
 *
 *   node relay.js <URL of NATS> <stream>
 */
import { AckPolicy, connect, DeliverPolicy } from 'nats';
import { listen, sendTo } from './uws-hub.js';

const [url, stream = ''] = process.argv.slice(2);
const nc = await connect({ servers: url ?? '', noAsyncTraces: true });
const jsm = await nc.jetstreamManager();
await jsm.consumers.add(stream, {
  durable_name: 'relay',
  ack_policy: AckPolicy.None,
  deliver_policy: DeliverPolicy.New,
});
const consumer = await nc.jetstream().consumers.get(stream, 'relay');
await consumer.consume({
  max_messages: 5_000,
  callback: ({ data, seq }) => {
    const text = Buffer.from(data).toString();
    const { processing_id: job } = JSON.parse(text) as { processing_id?: unknown };
    if (typeof job !== 'string') return;
    // As long as Headway's frame, which names the event before it as well.
    const frame = `{"type":"progress_update","seq":${seq},"prev_seq":${seq},${text.slice(1)}`;
    sendTo(job, [Buffer.from(frame)]);
  },
});
await listen(({ kind }) => {
  throw new Error(`a relay is told nothing but by NATS, and not to ${kind}`);
});
