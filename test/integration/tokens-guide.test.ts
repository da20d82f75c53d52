/** The code of docs/guides/tokens.md, as it stands there: what it makes opens what it says, and nothing else. */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as jose from 'jose';
import { expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { bearer, bearerProtocol, JWT_ENV, refusal, TOKEN_SECRET } from '../harness/tokens.js';

const shared = sharedNats();
const guide = readFileSync(new URL('../../docs/guides/tokens.md', import.meta.url), 'utf8');
const blocks = [...guide.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);

interface Exports {
  readonly tokenFor: (user: string, jobs: readonly string[]) => Promise<string>;
  readonly keyServer?: Server;
}
type Module = (library: typeof jose, createServer: unknown, process: unknown) => Promise<Exports>;
const AsyncFunction = (async () => {}).constructor as new (...code: string[]) => Module;

/** Runs a block as a module: what it imports is handed in, and what it exports comes back. */
async function run(code: string, env: Record<string, string>): Promise<Exports> {
  const names = [...code.matchAll(/^export (?:const|async function) (\w+)/gm)].map(([, name]) => name);
  const body = code
    .replace(/^import \{(.*)\} from 'jose';$/m, 'const {$1} = jose;')
    .replace(/^import .*$/gm, '')
    .replace(/^export /gm, '');
  const module = new AsyncFunction(
    'jose',
    'createServer',
    'process',
    `${body}; return { ${names.join(', ')} };`,
  );
  return await module(jose, createServer, { env });
}

async function opensItsJobAlone(edge: EdgeProcess, { tokenFor }: Exports): Promise<void> {
  const [mine, other] = [jobId(), jobId()];
  const seq = await publish(shared.nc, mine);
  await publish(shared.nc, other);
  const token = await tokenFor('ada', [mine]);
  for (const options of [bearer(token), bearerProtocol(token)]) {
    await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress/${mine}`, options);
    const [update] = await client.updates(1);
    expect(update).toMatchObject({ seq });
    const refused = await refusal(`${edge.ws}/ws/upload-progress/${other}`, options);
    expect(refused).toMatchObject({ code: 4403, reason: 'forbidden' });
  }
  // The next one renews the connection, since it is of the same user.
  await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress/${mine}`, bearer(token));
  await client.until(({ type }) => type === 'caught_up');
  client.send({ type: 'auth', token: await tokenFor('ada', [mine]) });
  await client.until(({ type }) => type === 'auth_ok');
}

test('G7 nobody unauthorised: the token that the guide makes with a shared secret opens its job and no other', async () => {
  await using edge = await startEdgeProcess({ natsUrl: shared.nats.url, env: { ...JWT_ENV } });
  expect(blocks).toHaveLength(2);
  await opensItsJobAlone(edge, await run(blocks[0] ?? '', { HEADWAY_JWT_SECRET: TOKEN_SECRET }));
});

test('G7 nobody unauthorised: the token that the guide signs with a key opens its job and no other', async () => {
  const made = await run(blocks[1] ?? '', { PORT: '0' });
  const { keyServer } = made;
  if (keyServer === undefined) throw new Error('the guide serves no keys');
  try {
    const { port } = keyServer.address() as AddressInfo;
    await using edge = await startEdgeProcess({
      natsUrl: shared.nats.url,
      env: {
        HEADWAY_AUTH: 'jwt',
        HEADWAY_JWKS_URL: `http://127.0.0.1:${port}/`,
        HEADWAY_JWT_ISSUER: 'https://app.example.com',
        HEADWAY_JWT_AUDIENCE: 'headway',
      },
    });
    await opensItsJobAlone(edge, made);
  } finally {
    keyServer.closeAllConnections();
    await new Promise((resolve) => keyServer.close(resolve));
  }
});
