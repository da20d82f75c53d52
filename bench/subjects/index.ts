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

/** Those of them that can be started here. */
export function available(names: readonly SubjectName[]): SubjectName[] {
  return names.filter((name) => name !== 'centrifugo' || centrifugoBinary() !== undefined);
}
