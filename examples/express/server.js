/**
 * Upload a file, and see it being compressed: the web server and the worker in one process. Who uploads a file sees its
 * progress, and nobody else does.
 *
 * EDGE_URL is where browsers find the edge, NATS_URL where this process finds NATS; NATS_CREDS is its credentials file, if any.
 * HEADWAY_JWT_SECRET is the edge's.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createGzip } from 'node:zlib';
import { connectReporter } from '@headway/worker';
import express from 'express';
import { SignJWT } from 'jose';
import multer from 'multer';

const {
  PORT = '8000',
  EDGE_URL = 'http://localhost:8080',
  NATS_URL = 'nats://127.0.0.1:4222',
  NATS_CREDS,
  HEADWAY_JWT_SECRET,
} = process.env;
if (!HEADWAY_JWT_SECRET) throw new Error('HEADWAY_JWT_SECRET is not set; expected the secret of the edge');

const MAX_BYTES = 200_000_000;
/** A token has at most 8,192 characters: room for about 130 of such ids. The newest count. */
const MAX_JOBS = 100;
const secret = new TextEncoder().encode(HEADWAY_JWT_SECRET);
const folder = await mkdtemp(join(tmpdir(), 'headway-express-'));
const reporter = await connectReporter({ servers: NATS_URL, credsFile: NATS_CREDS || undefined });

/** The ids of the jobs of each visitor. A real server has users and a database for this. */
const jobsOf = new Map();

/** Who asks: a cookie, since this example has no sign-in. */
function visitor(request, response, next) {
  const known = /(?:^|; )visitor=([\w-]{36})/.exec(request.get('cookie') ?? '')?.[1];
  request.visitor = known ?? randomUUID();
  if (known === undefined) response.cookie('visitor', request.visitor, { httpOnly: true, sameSite: 'lax' });
  next();
}

/** Compresses a file. The bytes that were read are its progress. The page hears from the edge what went wrong. */
async function compress(processingId, path, size) {
  try {
    await runJob(processingId, path, size);
  } catch (error) {
    console.error(processingId, error.message);
  } finally {
    await Promise.all([path, `${path}.gz`].map((file) => rm(file, { force: true })));
  }
}

async function runJob(processingId, path, size) {
  await reporter.run({ processingId, jobType: 'file.gzip', total: size }, async (job) => {
    const source = createReadStream(path);
    source.on('data', () => job.report({ current: source.bytesRead }));
    await pipeline(source, createGzip({ level: 9 }), createWriteStream(`${path}.gz`), { signal: job.signal });
    const { size: compressed } = await stat(`${path}.gz`);
    return { bytes: size, compressed };
  });
}

const app = express();
const uploads = multer({ dest: folder, limits: { fileSize: MAX_BYTES, files: 1 } });

app.use(visitor);
app.get('/config', (_request, response) => response.json({ edge: EDGE_URL }));

app.post('/files', uploads.single('file'), (request, response) => {
  const { file } = request;
  if (file === undefined) {
    response.status(400).json({ error: 'There is no file; expected one in the field "file".' });
    return;
  }
  const job = `file-${randomUUID()}`;
  const jobs = jobsOf.get(request.visitor) ?? [];
  jobsOf.set(request.visitor, [...jobs, job].slice(-MAX_JOBS));
  // The answer does not wait for it.
  void compress(job, file.path, file.size);
  response.status(202).json({ job });
});

/** The jobs that a page of this visitor may follow. One that remembers others has them from a run before this one. */
app.get('/files', (request, response) => {
  response.set('cache-control', 'no-store').json({ jobs: jobsOf.get(request.visitor) ?? [] });
});

/** What a page's `getToken` asks for: it opens the jobs of this visitor, for ten minutes. */
app.get('/token', async (request, response) => {
  const jobs = jobsOf.get(request.visitor);
  // An edge takes no token that opens nothing.
  if (jobs === undefined) {
    response.status(404).json({ error: 'This visitor has no files.' });
    return;
  }
  const token = await new SignJWT({ jobs })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(request.visitor)
    .setExpirationTime('10m')
    .sign(secret);
  response.set('cache-control', 'no-store').type('text').send(token);
});

const here = dirname(fileURLToPath(import.meta.url));
app.use(express.static(join(here, 'page')));
// A page without a bundler imports the files of the package as they are.
app.use('/headway', express.static(dirname(fileURLToPath(import.meta.resolve('@headway/client')))));

app.use((error, _request, response, next) => {
  if (!(error instanceof multer.MulterError)) return next(error);
  const isTooLarge = error.code === 'LIMIT_FILE_SIZE';
  response
    .status(isTooLarge ? 413 : 400)
    .json({ error: isTooLarge ? `The file is larger than ${MAX_BYTES / 1_000_000} MB.` : error.message });
});

const server = app.listen(Number(PORT), '127.0.0.1', () => console.log(`http://127.0.0.1:${PORT}/`));

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    server.close();
    // Jobs that still run are told to the page as failed, to be tried again.
    await reporter.close();
    await rm(folder, { recursive: true, force: true });
    process.exit(0);
  });
}
