import { createProgressClient } from './headway/index.js';

const { edge } = await (await fetch('config')).json();
const client = createProgressClient({
  url: edge,
  // Asked before each connection, when a token is about to expire, and for a job that the token does not open yet.
  getToken: async () => {
    const answer = await fetch('token');
    return answer.ok ? await answer.text() : null;
  },
  // A reload of the page goes on where it was.
  storage: sessionStorage,
});

const form = document.querySelector('form');
const input = document.querySelector('input');
const status = document.querySelector('[role=status]');
const megabytes = (bytes) => `${(bytes / 1_000_000).toFixed(1)} MB`;

/** What a bar says beside it. */
function describe({ state, connection, stalled, error }) {
  if (error !== null) return error.message;
  if (state?.status === 'completed') {
    return `${megabytes(state.result.bytes)} became ${megabytes(state.result.compressed)}`;
  }
  if (state?.status === 'error') return state.error.message;
  if (connection === 'waiting') return 'reconnecting';
  if (stalled !== null) return 'no news for a while';
  return state === null ? 'waiting' : `${state.progress} %`;
}

function show(id, name) {
  const item = document.createElement('li');
  const bar = document.createElement('progress');
  const text = document.createElement('span');
  bar.max = 100;
  bar.setAttribute('aria-label', name);
  item.append(name, bar, text);
  document.querySelector('ul').prepend(item);

  const job = client.job(id);
  const draw = () => {
    const snapshot = job.getSnapshot();
    if (snapshot.state !== null) bar.value = snapshot.state.progress;
    text.textContent = describe(snapshot);
  };
  job.subscribe(draw);
  draw();
}

async function upload(file) {
  const body = new FormData();
  body.set('file', file);
  const answer = await fetch('files', { method: 'POST', body });
  const { job, error } = await answer.json();
  if (!answer.ok) throw new Error(error);
  remember(job, file.name);
  show(job, file.name);
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  status.textContent = '';
  for (const file of input.files) {
    try {
      await upload(file);
    } catch (error) {
      status.textContent = `${file.name}: ${error.message}`;
    }
  }
});

const remembered = () => JSON.parse(sessionStorage.getItem('files') ?? '[]');
const remember = (job, name) =>
  sessionStorage.setItem('files', JSON.stringify([...remembered(), { job, name }]));

// A server that was started anew knows nothing of the files before. Without a file to follow there is no connection.
const { jobs } = await (await fetch('files')).json();
const known = remembered().filter(({ job }) => jobs.includes(job));
sessionStorage.setItem('files', JSON.stringify(known));
for (const { job, name } of known) show(job, name);
