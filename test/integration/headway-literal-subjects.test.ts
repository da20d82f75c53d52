/** What workers may store on a subject that is a pattern itself is passed over by name, and hides nothing. */
import { expect, test } from 'vitest';
import { headway, natsEnv, startHeadway } from '../harness/headway-command.js';
import { publishToLiteral } from '../harness/literal-subject.js';
import { publish } from '../harness/publish.js';
import { connectedNats } from '../harness/shared-nats.js';

const LITERALS = ['progress.>', 'progress.*'];

test('G8 bad input: headway export has each of them as a line with its reason', async () => {
  await using world = await connectedNats({ stream: {} });
  await publish(world.nc, 'a');
  for (const subject of LITERALS) await publishToLiteral(world.nats.port, subject, '{}');
  const { code, stdout } = await headway(['export'], { env: natsEnv(world.nats.url) });
  expect(code).toBe(0);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines.map(({ seq, subject, invalid }) => [seq, subject, invalid?.reason])).toEqual([
    [1, undefined, undefined],
    [2, 'progress.>', 'bad_subject'],
    [3, 'progress.*', 'bad_subject'],
  ]);
});

test('G8 bad input: headway tail -f names each of them, and shows the events between', async () => {
  await using world = await connectedNats({ stream: {} });
  const { nats, nc } = world;
  const first = await publish(nc, 'a');
  await using tail = startHeadway(['tail', '-f', '-o', 'ndjson'], { env: natsEnv(nats.url) });
  await tail.shows(`"seq":${first},`);
  for (const subject of LITERALS) await publishToLiteral(nats.port, subject, '{}');
  const last = await publish(nc, 'a');
  await tail.shows(`"seq":${last},`);
  await tail.shows('seq 2 on progress.> is not a valid event: bad_subject', 'stderr');
  await tail.shows('seq 3 on progress.* is not a valid event: bad_subject', 'stderr');
});
