import { CONDITIONS, type JobCondition } from './job-row.js';
import { type ListView, PLAIN_VIEW, SORT_KEYS, type SortKey } from './list-view.js';

/** What the page shows. The part of the address behind `#` holds it, which no server and no proxy gets to see. */
export type Place =
  | { readonly kind: 'list'; readonly view: ListView; readonly isLarge: boolean }
  | {
      readonly kind: 'job';
      readonly id: string;
      /** The event that is looked at; null: the newest. */
      readonly seq: number | null;
      readonly isLarge: boolean;
    };

const JOB_ID = /^[\w-]{1,128}$/;

export const isJobId = (text: string): boolean => JOB_ID.test(text);

/** @param hash as `location.hash` has it. What means nothing is left out: an old link shows something all the same */
export function parsePlace(hash: string): Place {
  const [path = '', search = ''] = hash.replace(/^#/, '').split('?', 2);
  const query = new URLSearchParams(search);
  const isLarge = query.has('large');
  const id = path.startsWith('/jobs/') ? path.slice('/jobs/'.length) : '';
  if (isJobId(id)) return { kind: 'job', id, seq: seqOf(query.get('seq')), isLarge };
  const all = (name: string): string[] => [...new Set(query.getAll(name))];
  return {
    kind: 'list',
    isLarge,
    view: {
      conditions: CONDITIONS.filter((one) => all('state').includes(one)),
      types: all('type').filter((type) => type.length <= 64),
      text: (query.get('q') ?? '').slice(0, 200),
      sort: sortOf(query.get('sort')),
    },
  };
}

/** The same as `location.hash` takes it. What is usual is left out. */
export function formatPlace(place: Place): string {
  const query = new URLSearchParams();
  let path = '/';
  if (place.kind === 'job') {
    path = `/jobs/${place.id}`;
    if (place.seq !== null) query.set('seq', String(place.seq));
  } else {
    const { conditions, types, text, sort } = place.view;
    for (const condition of conditions) query.append('state', condition);
    for (const type of types) query.append('type', type);
    if (text !== '') query.set('q', text);
    const isPlain = sort.key === PLAIN_VIEW.sort.key && sort.isDescending === PLAIN_VIEW.sort.isDescending;
    if (!isPlain) query.set('sort', `${sort.isDescending ? '-' : ''}${sort.key}`);
  }
  if (place.isLarge) query.set('large', '');
  const search = query.toString();
  return `#${path}${search === '' ? '' : `?${search}`}`;
}

/** The view with this condition added, or taken away where it is chosen already. */
export const withCondition = (view: ListView, condition: JobCondition): ListView => ({
  ...view,
  conditions: CONDITIONS.filter((one) => view.conditions.includes(one) !== (one === condition)),
});

/** The same of a type. */
export const withType = (view: ListView, type: string): ListView => ({
  ...view,
  types: view.types.includes(type) ? view.types.filter((one) => one !== type) : [...view.types, type],
});

/** Sorted by this; the other way round where it is already. */
export const withSort = ({ sort, ...view }: ListView, key: SortKey): ListView => ({
  ...view,
  sort: { key, isDescending: sort.key === key && !sort.isDescending },
});

function seqOf(text: string | null): number | null {
  const seq = Number(text);
  return text !== null && /^\d{1,16}$/.test(text) && Number.isSafeInteger(seq) && seq > 0 ? seq : null;
}

function sortOf(text: string | null): ListView['sort'] {
  const key = SORT_KEYS.find((one) => one === text?.replace(/^-/, ''));
  return key === undefined ? PLAIN_VIEW.sort : { key, isDescending: text?.startsWith('-') === true };
}
