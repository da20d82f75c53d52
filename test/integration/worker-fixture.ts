/** The fixture of the worker SDK's tests: one nats-server with the stream, a job for each test, and its warnings. */
import { beforeEach } from 'vitest';
import type { ReporterWarning } from '../../sdk/worker/index.js';
import { jobId } from '../harness/ids.js';
import { type ConnectedNats, sharedNats } from '../harness/shared-nats.js';

export interface WorkerFixture extends ConnectedNats {
  /** The job of the running test. */
  id: string;
  /** What reporters told in the running test. */
  readonly warnings: ReporterWarning[];
  readonly onWarning: (warning: ReporterWarning) => void;
}

/** Called at the top of a file. */
export function workerFixture(): WorkerFixture {
  const shared = sharedNats({ stream: {} });
  const warnings: ReporterWarning[] = [];
  const fixture = {
    id: '',
    warnings,
    onWarning: (warning: ReporterWarning) => void warnings.push(warning),
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
    warnings.length = 0;
    fixture.id = jobId();
  });
  return fixture;
}
