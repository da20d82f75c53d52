/** @jsxImportSource preact */
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { formatPlace, isJobId, type Place, parsePlace } from '../model/address.js';
import { formatCount, formatDuration, formatTime } from '../model/format.js';
import { type ListView, PLAIN_VIEW } from '../model/list-view.js';
import type { Session } from '../store/session.js';
import { useNow, useStore } from '../store/store.js';
import { ConnectionPanel, livenessOf } from './connection-panel.js';
import { Filters } from './filters.js';
import { JobList } from './job-list.js';
import { JobPage } from './job-page.js';
import { SignInPage } from './sign-in.js';
import { Summary } from './summary.js';

/** Where the address says that the page is, how to go elsewhere, and where it was sent last, which may not be drawn yet. */
function usePlace(): [Place, (place: Place, how?: 'push' | 'replace') => void, { readonly current: Place }] {
  const [place, setPlace] = useState(() => parsePlace(location.hash));
  const latest = useRef(place);
  useEffect(() => {
    const read = (): void => {
      latest.current = parsePlace(location.hash);
      setPlace(latest.current);
    };
    addEventListener('popstate', read);
    addEventListener('hashchange', read);
    return () => {
      removeEventListener('popstate', read);
      removeEventListener('hashchange', read);
    };
  }, []);
  const go = useCallback((next: Place, how: 'push' | 'replace' = 'push'): void => {
    const hash = formatPlace(next);
    try {
      if (how === 'push') history.pushState(null, '', hash);
      else history.replaceState(null, '', hash);
    } catch {
      // Some browsers refuse a page that changes its address too often, as a key does that is held down. The page goes there
      // all the same, and the address follows with the next step.
    }
    latest.current = next;
    setPlace(next);
  }, []);
  return [place, go, latest];
}

export interface AppProps {
  readonly session: Session;
}

export function App({ session }: AppProps) {
  useStore(session);
  const nowMs = useNow();
  const [place, go, latest] = usePlace();
  const search = useRef<HTMLInputElement>(null);
  const { isLarge } = place;
  // Back from a job the list is as it was.
  const lastView = useRef(PLAIN_VIEW);
  const lastId = useRef<string | null>(null);
  if (place.kind === 'list') lastView.current = place.view;
  else lastId.current = place.id;

  useEffect(() => {
    document.documentElement.classList.toggle('large', isLarge);
  }, [isLarge]);

  /** Of what was asked for last: two changes may come before the page is drawn. */
  const changeView = useCallback(
    (change: (now: ListView) => ListView): void => {
      const { current } = latest;
      if (current.kind === 'list') go({ ...current, view: change(current.view) }, 'replace');
    },
    [go],
  );

  // At once: what a key does depends on what is seen.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
      const isTyping = event.target instanceof HTMLInputElement && event.target.type !== 'range';
      if (event.key === '/' && !isTyping && search.current !== null) {
        event.preventDefault();
        search.current.focus();
        search.current.select();
      } else if (event.key === 'Escape' && place.kind === 'job' && !isTyping) {
        go({ kind: 'list', view: lastView.current, isLarge });
      } else if (event.key === 'Escape' && event.target === search.current) {
        event.preventDefault();
        // A search that has found nothing has no list beside it.
        if (lastView.current.text === '') document.querySelector<HTMLElement>('.job-list')?.focus();
        else changeView((now) => ({ ...now, text: '' }));
      }
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [place, go, changeView, isLarge]);

  const view = lastView.current;
  const listed = session.list(view);
  const { failed } = session.list(view).conditions;
  const title = place.kind === 'job' ? place.id : failed === 0 ? 'Jobs' : `${formatCount(failed)} failed`;
  useEffect(() => {
    document.title = `${title} · Headway`;
  }, [title]);

  const open = useCallback((id: string) => go({ kind: 'job', id, seq: null, isLarge }), [go, isLarge]);
  return (
    <div class="page">
      <header class="top">
        <a class="brand" href={formatPlace({ kind: 'list', view: PLAIN_VIEW, isLarge })}>
          <span class="brand-mark" aria-hidden="true" />
          Headway
        </a>
        <ConnectionPanel session={session} nowMs={nowMs} />
      </header>
      <Notice session={session} nowMs={nowMs} />
      {session.needsToken ? (
        <SignInPage session={session} />
      ) : place.kind === 'job' ? (
        <JobPage
          key={`${place.id} ${session.generation}`}
          session={session}
          place={place}
          listHash={formatPlace({ kind: 'list', view, isLarge })}
          nowMs={nowMs}
          onPlace={go}
        />
      ) : (
        <main class="list-page">
          <h1 class="hidden">Jobs</h1>
          {session.error !== null ? (
            <NoList session={session} onOpen={open} />
          ) : (
            <>
              <Summary session={session} listed={listed} view={view} onView={changeView} />
              <Filters
                key={session.generation}
                listed={listed}
                isComplete={session.isCurrent && listed.total === session.size}
                hasForgotten={session.hasForgotten}
                view={view}
                search={search}
                onView={changeView}
                isLarge={isLarge}
                onLarge={(large) => go({ ...latest.current, isLarge: large }, 'replace')}
              />
              {listed.rows.length === 0 ? (
                <Empty session={session} isFiltered={listed.total > 0} />
              ) : (
                <JobList
                  session={session}
                  listed={listed}
                  view={view}
                  isLarge={isLarge}
                  nowMs={nowMs}
                  onView={changeView}
                  onOpen={open}
                  lastId={lastId.current}
                />
              )}
            </>
          )}
        </main>
      )}
    </div>
  );
}

/** Says that what is seen may be old, for as long as it may. */
function Notice({ session, nowMs }: { readonly session: Session; readonly nowMs: number }) {
  const liveness = livenessOf(session);
  const { log } = session;
  if (liveness !== 'waiting' || log.lostMs === null) return null;
  return (
    <aside class="notice" aria-label="Connection lost">
      <strong>No connection for {formatDuration(nowMs - log.lostMs)}.</strong> What you see is from{' '}
      {formatTime(log.currentMs ?? log.lostMs).slice(0, 8)}. The page comes back by itself, and gets what it
      missed.
    </aside>
  );
}

function Empty({ session, isFiltered }: { readonly session: Session; readonly isFiltered: boolean }) {
  if (isFiltered)
    return (
      <section class="empty">
        <h2>No job matches</h2>
        <p>Choose another state or type, or search for something else.</p>
      </section>
    );
  if (!session.isCurrent)
    return (
      <section class="empty" aria-busy="true">
        <h2>Waiting for the edge</h2>
        <p>The last state of every job comes first.</p>
      </section>
    );
  return (
    <section class="empty">
      <h2>No jobs yet</h2>
      <p>A job is here as soon as a worker publishes its first event. With the nats command that is:</p>
      <pre>
        {`nats pub progress.job-1 '{"processing_id":"job-1","status":"processing","progress":10,"timestamp":"${new Date().toISOString()}"}'`}
      </pre>
    </section>
  );
}

/** A token that opens one job does not open the list. */
function NoList({ session, onOpen }: { readonly session: Session; readonly onOpen: (id: string) => void }) {
  const input = useRef<HTMLInputElement>(null);
  const [isWrong, setWrong] = useState(false);
  return (
    <div class="card-page">
      <section class="card">
        <h2>The list cannot be shown</h2>
        <p class="error-text">{session.error?.message}</p>
        <p>You may still look at a job by its id.</p>
        <form
          class="sign-in"
          onSubmit={(event) => {
            event.preventDefault();
            const id = input.current?.value.trim() ?? '';
            setWrong(!isJobId(id));
            if (isJobId(id)) onOpen(id);
          }}
        >
          <label for="job-id">Job</label>
          <input
            ref={input}
            id="job-id"
            type="text"
            spellcheck={false}
            autocomplete="off"
            aria-invalid={isWrong}
          />
          <button type="submit" class="primary">
            Open
          </button>
          <p class="error-text" role="alert">
            {isWrong ? 'An id has 1 to 128 of A-Z a-z 0-9 _ -' : ''}
          </p>
        </form>
      </section>
    </div>
  );
}
