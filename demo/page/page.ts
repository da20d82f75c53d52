/** The demo's page: sends documents to the demo's server, follows what becomes of them, and breaks things. */
import { createProgressClient } from '../../sdk/client/index.js';
import { ConnectionView } from './connection.js';
import { DocumentRow, type ShownDocument } from './document-row.js';
import { find, make } from './dom.js';
import { checkFile } from './file.js';

/** That nobody is followed any more is told by no job. */
const LOOK_EVERY_MS = 250;
/** The newest. */
const LOGGED = 14;

const FAULTS: Readonly<Record<string, string>> = {
  cut: 'You cut the connection: it is reset, with whatever is on its way.',
  'kill-edge': 'You killed the edge (SIGKILL). Another one starts in its place.',
  'kill-worker': 'You killed the workers (SIGKILL). Others go on with what was not done.',
};

const token = document.querySelector<HTMLMetaElement>('meta[name=token]')?.content ?? '';
const jobs = find('jobs', HTMLOListElement);
const log = find('log', HTMLOListElement);
const problems = find('problems', HTMLUListElement);
const drop = find('drop', HTMLElement);
const files = find('files', HTMLInputElement);
const empty = find('empty', HTMLElement);

// One connection for all, and no other way: a page of this server is not behind anything that could block it.
const client = createProgressClient({ transport: 'websocket' });
const rows = new Map<string, DocumentRow>();
const connection = new ConnectionView(find('connection', HTMLElement), say);

function say(text: string): HTMLElement {
  const entry = make('li');
  const time = make('time', '', new Date().toLocaleTimeString());
  entry.append(time, text);
  log.prepend(entry);
  while (log.children.length > LOGGED) log.lastElementChild?.remove();
  return entry;
}

function look(): void {
  connection.is(client.connection);
  if (client.connection === 'open') connection.look([...rows.values()].every((row) => row.isCurrent));
}

function show(shown: ShownDocument): void {
  if (rows.has(shown.id)) return;
  const row = new DocumentRow(client, shown, { changed: look, updated: () => connection.updated() });
  rows.set(shown.id, row);
  jobs.prepend(row.item);
  empty.hidden = true;
}

function complain(text: string): void {
  problems.append(make('li', '', text));
}

/**
 * Asks the demo's server for something.
 * @throws Error with a sentence for people
 */
async function ask(
  path: string,
  init: RequestInit = {},
): Promise<{ documents?: ShownDocument[] } & ShownDocument> {
  const headers = { ...init.headers, 'x-demo-token': token };
  const answer = await fetch(path, { ...init, headers }).catch(() => {
    throw new Error('The demo does not answer. Has it ended?');
  });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.detail ?? `The demo answered ${answer.status}.`);
  return body;
}

/** Done by a button or a drop: what goes wrong is said. */
async function attempt(task: () => Promise<void>): Promise<void> {
  try {
    await task();
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
  }
}

async function send(file: File): Promise<void> {
  await checkFile(file);
  const headers = { 'x-file-name': encodeURIComponent(file.name.toWellFormed()) };
  show(await ask('/documents', { method: 'POST', headers, body: file }));
}

// One after the other: the server takes few at a time.
async function sendAll(list: Iterable<File>): Promise<void> {
  problems.replaceChildren();
  for (const file of list) await attempt(() => send(file));
}

function onClick(button: HTMLButtonElement, task: () => Promise<void>): void {
  button.addEventListener('click', async () => {
    problems.replaceChildren();
    button.disabled = true;
    await attempt(task);
    button.disabled = false;
  });
}

files.addEventListener('change', async () => {
  const chosen = [...(files.files ?? [])];
  files.value = '';
  await sendAll(chosen);
});
// A document that is dropped beside would be opened in place of the page.
for (const type of ['dragover', 'drop'] as const)
  document.addEventListener(type, (event) => event.preventDefault());
document.addEventListener('dragover', () => drop.classList.add('over'));
document.addEventListener('dragleave', ({ relatedTarget }) => {
  if (relatedTarget === null) drop.classList.remove('over');
});
document.addEventListener('drop', async ({ dataTransfer }) => {
  drop.classList.remove('over');
  await sendAll([...(dataTransfer?.files ?? [])]);
});
onClick(find('samples', HTMLButtonElement), async () => {
  const { documents = [] } = await ask('/samples', { method: 'POST' });
  for (const shown of documents) show(shown);
});
for (const button of document.querySelectorAll<HTMLButtonElement>('button[data-fault]')) {
  const fault = button.dataset.fault ?? '';
  onClick(button, async () => {
    // Before anything comes of it.
    const said = say(FAULTS[fault] ?? fault);
    await ask(`/faults/${fault}`, { method: 'POST' }).catch((error: unknown) => {
      said.remove();
      throw error;
    });
  });
}
setInterval(look, LOOK_EVERY_MS);
await attempt(async () => {
  const { documents = [] } = await ask('/documents');
  for (const shown of documents) show(shown);
});
