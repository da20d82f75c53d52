/** Publishes to any subject, also to one that looks like a pattern, which the package refuses. */
import { connect } from 'node:net';
import { waitFor } from './wait.js';

/** @returns when the server has taken it */
export async function publishToLiteral(port: number, subject: string, body: string): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port });
  let answers = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    answers += text;
  });
  socket.on('error', () => undefined);
  try {
    const connected = 'CONNECT {"verbose":false,"pedantic":false,"lang":"test","version":"1"}';
    socket.write(`${connected}\r\nPUB ${subject} ${Buffer.byteLength(body)}\r\n${body}\r\nPING\r\n`);
    await waitFor(() => answers.includes('PONG'), { what: `the server to take a message on ${subject}` });
    if (answers.includes('-ERR')) throw new Error(answers);
  } finally {
    socket.destroy();
  }
}
