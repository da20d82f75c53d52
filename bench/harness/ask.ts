import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** Tells a process something, and waits for its next message. Rejects when it ends instead. */
export async function ask<A>(child: ChildProcess, command?: object): Promise<A> {
  const asked = new AbortController();
  const { signal } = asked;
  const ended = once(child, 'exit', { signal }).then(([code]) => {
    throw new Error(`the process ${child.spawnargs.slice(1).join(' ')} ended with ${code}`);
  });
  ended.catch(() => undefined);
  try {
    const answered = once(child, 'message', { signal });
    if (command !== undefined) child.send(command);
    const [answer] = (await Promise.race([answered, ended])) as [A];
    return answer;
  } finally {
    asked.abort();
  }
}
