/** The servers under test, each started by its name. */
import type { Subject, SubjectName } from '../harness/subject.js';
import { centrifugo, centrifugoBinary } from './centrifugo.js';
import { headway } from './headway.js';
import { limit, relay, socketIo, ws } from './own.js';

const START: Readonly<Record<SubjectName, () => Promise<Subject>>> = {
  headway: () => headway(),
  limit,
  relay,
  ws,
  'socket-io': socketIo,
  centrifugo,
};

/** Starts one. Those that read from a stream have a nats-server of their own. */
export async function startSubject(name: SubjectName): Promise<Subject> {
  return await START[name]();
}

/** Those of them that are measured: what can be started here, and without the slower peers when it is to be quick. */
export function chosen(names: readonly SubjectName[], isQuick: boolean): SubjectName[] {
  return names.filter((name) => {
    if (name === 'centrifugo') return !isQuick && centrifugoBinary() !== undefined;
    return name !== 'socket-io' || !isQuick;
  });
}
