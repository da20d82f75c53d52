/** The limit: bare uWebSockets.js that sends the same bytes, corked, with nothing behind it. */
import { frameOf, jobId } from '../harness/payload.js';
import type { SubjectCommand } from '../harness/subject.js';
import { keep, listen, sendTo } from './uws-hub.js';

let made = 0;

function frames(count: number, job: (number: number) => string): Buffer[] {
  return Array.from({ length: count }, () => Buffer.from(frameOf(job(made), made++)));
}

/** To who follows all jobs, so many updates a second: those that are due at each tick are sent in one turn. */
function pace({ perSecond, seconds, jobs, tickMs }: Extract<SubjectCommand, { kind: 'pace' }>): void {
  const [began, first] = [performance.now(), made];
  const timer = setInterval(() => {
    const passed = Math.min(seconds * 1_000, performance.now() - began);
    const due = Math.floor((passed * perSecond) / 1_000) - (made - first);
    sendTo(
      'all',
      frames(due, (number) => jobId(number % jobs)),
    );
    if (passed >= seconds * 1_000) clearInterval(timer);
  }, tickMs);
}

await listen((command) => {
  switch (command.kind) {
    case 'pace':
      pace(command);
      return;
    case 'keep':
      keep(
        command.job,
        frames(command.count, () => command.job),
      );
      return;
    case 'publish':
      sendTo(
        command.job,
        frames(command.count, () => command.job),
      );
      return;
    default:
      command satisfies never;
  }
});
