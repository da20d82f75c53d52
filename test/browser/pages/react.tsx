/** What test/browser/react.test.ts looks at, by the name of the scene. */
import { Component, type ReactNode, StrictMode, Suspense } from 'react';
import { createRoot, hydrateRoot, type Root } from 'react-dom/client';
import { createProgressClient } from '../../../sdk/client/index.js';
import type { ProgressClient } from '../../../sdk/client/types.js';
import { HeadwayProvider, ProgressBar, useJob, useJobs } from '../../../sdk/react/index.js';
import { FakeProgressClient } from '../../harness/fake-progress-client.js';

let renders = 0;

function ShownJob({ id, suspense = false }: { id: string | null; suspense?: boolean }) {
  const { state, connection } = useJob(id, { suspense });
  renders++;
  return <p>{state ? `${state.processing_id} ${state.progress}` : connection}</p>;
}

function ShownJobs({ ids }: { ids: string[] }) {
  // A new object at each render.
  const { jobs } = useJobs({ ids: [...ids].reverse() });
  renders++;
  return <p>{[...jobs.values()].map(({ id, state }) => `${id} ${state?.progress}`).join(' ')}</p>;
}

function NewestFinished({ count }: { count: number }) {
  const { jobs } = useJobs({}, { maxFinished: count, maxRate: 2 });
  renders++;
  return <p>{`${jobs.size} jobs`}</p>;
}

function Refused({ id, maxRate }: { id: string; maxRate: number }) {
  const [job, all] = [useJob(id), useJobs({}, { maxRate })];
  return (
    <p>
      {job.error?.message} / {all.error?.message}
    </p>
  );
}

class Boundary extends Component<{ children: ReactNode }, { message: string | null }> {
  override state = { message: null };
  static getDerivedStateFromError = ({ message }: Error) => ({ message });
  override render(): ReactNode {
    return this.state.message ?? this.props.children;
  }
}

const scenes = {
  jobs: (...ids: string[]) => ids.map((id) => <ShownJob key={id} id={id} />),
  same: (id: string) => <ShownJob id={id} />,
  idle: () => <ShownJob id={null} />,
  list: (...ids: string[]) => <ShownJobs ids={ids} />,
  newest: (count: string) => <NewestFinished count={Number(count)} />,
  refused: (id: string, rate: string) => <Refused id={id} maxRate={Number(rate)} />,
  suspense: (id: string) => (
    <Boundary>
      <Suspense fallback="loading">
        <ShownJob id={id} suspense />
      </Suspense>
    </Boundary>
  ),
  bar: (id: string) => <ProgressBar job={id} label="Upload of report.pdf" />,
  bars: (...ids: string[]) => ids.map((id) => <ProgressBar key={id} job={id} />),
  nothing: () => null,
} satisfies Record<string, (...ids: string[]) => ReactNode>;

const fake = new FakeProgressClient();
const place = document.getElementById('root') as HTMLElement;
const problems: string[] = [];
let client: ProgressClient = fake;
let root: Root | undefined;

const page = {
  fake,
  problems,
  renders: () => renders,
  connect(url: string) {
    client = createProgressClient({ url, lingerMs: 200 });
  },
  show(scene: keyof typeof scenes, ids: string[] = [], how: 'plain' | 'strict' | 'hydrate' = 'plain') {
    const shown = (
      <HeadwayProvider client={client}>{scenes[scene](...(ids as [string, string]))}</HeadwayProvider>
    );
    const all = how === 'strict' ? <StrictMode>{shown}</StrictMode> : shown;
    const options = { onRecoverableError: (error: unknown) => void problems.push(String(error)) };
    if (root === undefined && how === 'hydrate') {
      root = hydrateRoot(place, all, options);
      return;
    }
    root ??= createRoot(place, options);
    root.render(all);
  },
  unmount: () => root?.unmount(),
};
Object.assign(window, { page });
export type ReactPage = typeof page;
