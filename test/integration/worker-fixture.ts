/** What the tests of the worker SDK stand on: one nats-server with the stream, a job for each test, and its troubles. */
import { beforeEach } from 'vitest';
import type { Trouble } from '../../sdk/worker/index.js';
import { jobId } from '../harness/ids.js';
import { type ConnectedNats, sharedNats } from '../harness/shared-nats.js';

export interface WorkerScene extends ConnectedNats {
  /** The job of the running test. */
  id: string;
  /** What reporters told in the running test. */
  readonly troubles: Trouble[];
  readonly onTrouble: (trouble: Trouble) => void;
}

/** Called at the top of a file. */
export function workerScene(): WorkerScene {
  const shared = sharedNats({ stream: {} });
  const troubles: Trouble[] = [];
  const scene = {
    id: '',
    troubles,
    onTrouble: (trouble: Trouble) => void troubles.push(trouble),
    get nats() {
      return shared.nats;
    },
    get nc() {
      return shared.nc;
    },
    get jsm() {
      return shared.jsm;
    },
  };
  beforeEach(() => {
    troubles.length = 0;
    scene.id = jobId();
  });
  return scene;
}
