import { onNextFrame } from './frame.js';
import { createProgressClient } from './index.js';
import { describeJob, type ProgressView, viewOf } from './progress-view.js';
import type { Job, JobSnapshot, ProgressClient } from './types.js';

const CSS = `:host{display:block;color-scheme:light dark}
:host([hidden]){display:none}
.track{height:var(--headway-height,.5em);margin:var(--headway-gap,.25em) 0;border-radius:var(--headway-radius,.25em);overflow:hidden;background:var(--headway-track,light-dark(#ddd,#444))}
.bar{height:100%;background:var(--headway-color,light-dark(#0b63ce,#6cb2ff))}
:host([stalled]) .bar{background:var(--headway-stalled,light-dark(#8a5a00,#e0a63a))}
:host([status=error]) .bar{background:var(--headway-error,light-dark(#b3261e,#ff8a80))}
:host([status=completed]) .bar{background:var(--headway-completed,light-dark(#1b7a35,#6fd08c))}
.bar{width:0}
.unknown{width:30%;animation:slide 1.5s ease-in-out infinite alternate}
@keyframes slide{to{margin-left:70%}}
@media (prefers-reduced-motion:reduce){.unknown{width:100%;opacity:.4;animation:none}}
@media (forced-colors:active){.track{border:1px solid}.bar{forced-color-adjust:none;background:Highlight}}`;

/** Without a job; like one that is refused it does not move. */
const NOTHING: ProgressView = { condition: 'refused', percent: null, isBusy: false };

let styles: CSSStyleSheet | undefined;
/** Not a `<style>`: a strict Content-Security-Policy forbids that. */
function sharedStyles(): CSSStyleSheet {
  if (styles === undefined) {
    styles = new CSSStyleSheet();
    styles.replaceSync(CSS);
  }
  return styles;
}

/** By `src` and `max-rate`. They stay: one that nobody follows with has no connection. */
const clients = new Map<string, ProgressClient>();

function clientFor(src: string | null, maxRate: number | null): ProgressClient {
  const key = `${maxRate} ${src}`;
  const known = clients.get(key);
  if (known !== undefined) return known;
  const client = createProgressClient({
    ...(src !== null && { url: src }),
    ...(maxRate !== null && { maxRate }),
  });
  clients.set(key, client);
  return client;
}

/** Like any attribute that means nothing, one that is no rate is ignored. */
function rateOf(text: string | null): number | null {
  const rate = Number(text);
  return rate >= 0.1 && rate <= 50 ? rate : null;
}

// On a server there are no elements, and the import does nothing.
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

/**
 * `<headway-progress job="job-1" src="https://edge.example.com" label="Upload" max-rate="5">`: a bar for one job, with at most
 * so many updates a second. All elements with the same `src` and `max-rate` share one client, and with it one connection;
 * without `src` it is the page's own origin.
 *
 * It shows in its attributes what is the matter, for style sheets: `status` (of the last update), `stalled` and
 * `connection`. Parts: `label`, `track`, `bar`, `text`. Events, which do not bubble: `update`, `end` and `error` of the
 * job, with its `detail`. A `job` or `src` that cannot be followed is an `error` with a `TypeError`, which the text shows.
 */
export class HeadwayProgress extends Base {
  static readonly observedAttributes = ['job', 'src', 'label', 'max-rate'];
  /** For all elements that have none of their own and no `src`, whatever `max-rate` says. Set it before they are on the page. */
  static client: ProgressClient | null = null;

  #client: ProgressClient | null = null;
  #job: Job | null = null;
  /** Who gave `#job`. */
  #source: ProgressClient | null = null;
  /** Why its attributes cannot be followed. */
  #problem: Error | null = null;
  #isDue = false;
  #parts: Record<'label' | 'track' | 'bar' | 'text', HTMLElement> | null = null;

  /** Follows with this one, whatever `src` says: with one that has `getToken`, for example. */
  get client(): ProgressClient | null {
    return this.#client;
  }

  set client(client: ProgressClient | null) {
    this.#client = client;
    this.#update();
  }

  /** What is known of the job; null: none is followed. */
  get snapshot(): JobSnapshot | null {
    return this.#job?.getSnapshot() ?? null;
  }

  connectedCallback(): void {
    // Set before the element had its class: it hides the setter.
    if (Object.hasOwn(this, 'client')) {
      const client = this.client;
      delete (this as { client?: unknown }).client;
      this.client = client;
    }
    this.#parts ??= this.#build();
    this.#update();
    this.#render();
  }

  disconnectedCallback(): void {
    this.#update();
  }

  attributeChangedCallback(name: string): void {
    if (name === 'label') onNextFrame(this.#render);
    else this.#update();
  }

  /** Once for all that changes in one turn, so that an element that is moved goes on as it was. */
  #update(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      this.#follow();
    });
  }

  #follow(): void {
    const id = this.isConnected ? this.getAttribute('job') : null;
    this.#problem = null;
    try {
      const client = id ? this.#chooseClient() : null;
      if (client !== this.#source || (id || null) !== (this.#job?.id ?? null)) {
        this.#leave();
        this.#source = client;
        this.#job = client && id ? this.#open(client, id) : null;
      }
    } catch (error) {
      // What is wrong with an attribute, or with a client that is closed. Nobody called who could be told by an exception.
      this.#leave();
      this.#problem = error as Error;
      this.dispatchEvent(new CustomEvent('error', { detail: error }));
    }
    onNextFrame(this.#render);
  }

  #leave(): void {
    this.#job?.close();
    this.#job = null;
  }

  #chooseClient(): ProgressClient {
    const src = this.getAttribute('src');
    const given = this.#client ?? (src === null ? HeadwayProgress.client : null);
    return given ?? clientFor(src, rateOf(this.getAttribute('max-rate')));
  }

  #open(client: ProgressClient, id: string): Job {
    const job = client.job(id);
    for (const type of ['update', 'end', 'error'] as const) {
      job.addEventListener(type, ({ detail }) => {
        if (job === this.#job) this.dispatchEvent(new CustomEvent(type, { detail }));
      });
    }
    job.subscribe(() => {
      if (job === this.#job) onNextFrame(this.#render);
    });
    return job;
  }

  #build(): Record<'label' | 'track' | 'bar' | 'text', HTMLElement> {
    const root = this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [sharedStyles()];
    const make = (name: string, tag = 'div'): HTMLElement => {
      const part = document.createElement(tag);
      part.id = name;
      part.className = name;
      part.setAttribute('part', name);
      return part;
    };
    const parts = {
      label: make('label', 'span'),
      track: make('track'),
      bar: make('bar'),
      text: make('text', 'span'),
    };
    const { label, track, bar, text } = parts;
    track.setAttribute('role', 'progressbar');
    track.setAttribute('aria-labelledby', 'label');
    track.setAttribute('aria-valuemin', '0');
    track.setAttribute('aria-valuemax', '100');
    track.append(bar);
    root.append(label, track, text);
    return parts;
  }

  readonly #render = (): void => {
    if (this.#parts === null) return;
    const { label, track, bar, text } = this.#parts;
    const job = this.snapshot;
    const { condition, percent, isBusy } = job ? viewOf(job) : NOTHING;
    // What a job says is only ever text.
    label.textContent = this.getAttribute('label') ?? job?.id ?? '';
    text.textContent = job ? describeJob(job) : (this.#problem?.message ?? '');
    setAttribute(track, 'aria-valuenow', percent);
    setAttribute(track, 'aria-valuetext', text.textContent);
    setAttribute(track, 'aria-busy', isBusy);
    // Of one that is refused nothing moves any more.
    bar.classList.toggle('unknown', percent === null && condition !== 'refused');
    bar.style.width = percent === null ? '' : `${percent}%`;
    setAttribute(this, 'status', job?.state?.status);
    setAttribute(this, 'stalled', job?.stalled ? '' : null);
    setAttribute(this, 'connection', job?.connection);
  };
}

function setAttribute(
  element: Element,
  name: string,
  value: string | number | boolean | null | undefined,
): void {
  if (value === null || value === undefined) element.removeAttribute(name);
  else element.setAttribute(name, String(value));
}

if (globalThis.customElements && !customElements.get('headway-progress')) {
  customElements.define('headway-progress', HeadwayProgress);
}

declare global {
  interface HTMLElementTagNameMap {
    'headway-progress': HeadwayProgress;
  }
}
