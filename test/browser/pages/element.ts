/** What test/browser/element.test.ts looks at. */
import { HeadwayProgress } from '../../../sdk/client/element.js';
import { FakeProgressClient } from '../../harness/fake-progress-client.js';

const fake = new FakeProgressClient();
// An element without `src` is shown by it.
HeadwayProgress.client = fake;
const events: string[] = [];
for (const type of ['update', 'end', 'error'])
  document.addEventListener(
    type,
    (event) => {
      // They do not bubble; on the way down they are heard of.
      if (event instanceof CustomEvent) events.push(type);
    },
    true,
  );
const page = { fake, events };
Object.assign(window, { page });
export type ElementPage = typeof page;
