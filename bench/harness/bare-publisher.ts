/**
 * What a nats-server takes at most from one connection: a worker's messages, put together beforehand as far as they
 * can be and written to a bare socket, one on its way for each job, with nothing done about an answer but to send the
 * next. No worker can be quicker that leaves each event its id and its place behind the one before.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const INBOX = '_INBOX.bare';

/** @param bodies of one job's events, as many as each job is to send */
export async function bare(
  url: string,
  ids: readonly string[],
  bodies: (id: string) => readonly string[],
): Promise<() => Promise<void>> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, 'connect');
  const jobs = ids.map((id, index) => ({
    seq: 0,
    sent: 0,
    head: `HPUB progress.${id} ${INBOX}.${index} `,
    id,
    bodies: bodies(id),
  }));
  const next = (job: (typeof jobs)[number]): string => {
    const body = job.bodies[job.sent] ?? '';
    const headers =
      `NATS/1.0\r\nNats-Msg-Id: bare.${job.id}.${job.sent}` +
      `\r\nNats-Expected-Last-Subject-Sequence: ${job.seq}\r\n\r\n`;
    job.sent += 1;
    return `${job.head}${headers.length} ${headers.length + body.length}\r\n${headers}${body}\r\n`;
  };
  socket.write(
    `CONNECT ${JSON.stringify({ verbose: false, headers: true, no_responders: true, lang: 'bare', version: '0', protocol: 1 })}\r\n` +
      `SUB ${INBOX}.* 1\r\nPING\r\n`,
  );
  await untilPong(socket);
  return async () => {
    let open = jobs.length;
    let rest = '';
    const done = new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('data', (chunk: Buffer) => {
        const lines = (rest + chunk.toString('latin1')).split('\r\n');
        rest = lines.pop() ?? '';
        // An answer's two lines may come in two pieces: then its first one waits for the second.
        if (lines.at(-1)?.startsWith('MSG ')) rest = `${lines.pop()}\r\n${rest}`;
        let out = '';
        for (let at = 0; at < lines.length; at++) {
          const line = lines[at] ?? '';
          if (line === 'PING') out += 'PONG\r\n';
          if (!line.startsWith('MSG ')) continue;
          const job = jobs[Number.parseInt(line.slice(5 + INBOX.length), 10)];
          const answer = lines[++at] ?? '';
          const found = answer.indexOf('"seq":');
          if (job === undefined || found < 0 || answer.includes('"error"')) {
            reject(new Error(`expected an acknowledgement, got ${line} ${answer}`));
            return;
          }
          job.seq = Number.parseInt(answer.slice(found + 6), 10);
          if (job.sent < job.bodies.length) out += next(job);
          else if (--open === 0) resolve();
        }
        if (out !== '') socket.write(out, 'latin1');
      });
    });
    socket.write(jobs.map(next).join(''), 'latin1');
    await done;
    socket.destroy();
  };
}

async function untilPong(socket: Socket): Promise<void> {
  let text = '';
  while (!text.includes('PONG')) text += String((await once(socket, 'data'))[0]);
}
