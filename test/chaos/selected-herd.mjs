/**
 * Clients that follow several jobs each on one connection, in a process of their own: its parent has too many files open
 * and too much to do for thousands more. Each comes back within a second after its connection is lost, with a cursor for
 * each job, and checks what it is sent: every update follows the one before it by `seq`, and by `prev_seq` where it is known.
 *
 *   node selected-herd.mjs <file with the address of the edge> <clients> <jobs each> <first> <job> <job>...
 *
 * The file is empty while there is no edge. It prints `following`, each time that every job of every client is followed;
 * `ended`, when all jobs have; and `wrong: ...` for whatever must not be.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';

const [file, clients, jobsEach, first, ...ids] = process.argv.slice(2);
const COUNT = Number(clients);
const EACH = Number(jobsEach);
let base = '';
let whole = 0;
let over = 0;
const total = { updates: 0, connections: 0, refused: 0, overloaded: 0 };

const print = (line) => process.stdout.write(`${line}\n`);

class Client {
  /** By job: the cursor, the newest update, and the scope that `following` named. */
  jobs = new Map();
  epoch = null;
  following = new Set();
  socket = null;

  constructor(index) {
    for (let i = 0; i < EACH; i++)
      this.jobs.set(ids[(index * EACH + i) % ids.length], { cursor: null, seq: null, scope: null });
    this.left = this.jobs.size;
  }

  async run() {
    while (this.left > 0) {
      await delay(Math.random() * 1_000);
      if (base !== '') await this.connect();
    }
  }

  connect() {
    return new Promise((resolve) => {
      const socket = new WebSocket(`${base}/ws/upload-progress?select`, { perMessageDeflate: false });
      this.socket = socket;
      socket.on('message', (data) => this.take(JSON.parse(data.toString())));
      socket.on('open', () => total.connections++);
      socket.on('error', () => total.refused++);
      socket.on('close', () => {
        if (this.following.size === this.jobs.size) whole--;
        this.following.clear();
        resolve();
      });
    });
  }

  follow(wanted) {
    const jobs = wanted.map(([processing_id, { cursor, scope }]) => ({
      processing_id,
      ...(cursor !== null && { last_seq: cursor, scope }),
    }));
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.socket.send(JSON.stringify({ type: 'follow', ...(this.epoch && { epoch: this.epoch }), jobs }));
  }

  take(frame) {
    const id = frame.processing_id;
    const job = this.jobs.get(id);
    switch (frame.type) {
      case 'hello':
        if (this.epoch !== null && this.epoch !== frame.epoch) print('wrong: another epoch');
        this.epoch = frame.epoch;
        this.follow([...this.jobs]);
        return;
      case 'progress_update':
        total.updates++;
        // null: the edge does not know it, for a cursor that lies between two events. Then the number of updates tells.
        if (job.seq !== null && (frame.seq <= job.seq || ![job.seq, null].includes(frame.prev_seq)))
          print(`wrong: ${id} at ${frame.seq} follows ${frame.prev_seq}, and not ${job.seq}`);
        job.seq = frame.seq;
        job.cursor = frame.seq;
        return;
      case 'following':
        job.cursor = frame.cursor;
        job.scope = frame.scope;
        this.following.add(id);
        if (this.following.size === this.jobs.size && ++whole === COUNT)
          print(`following ${JSON.stringify(total)}`);
        return;
      case 'heartbeat':
        for (const one of this.following) {
          const followed = this.jobs.get(one);
          followed.cursor = Math.max(followed.cursor, frame.cursor);
        }
        return;
      case 'end':
        if (--this.left > 0) return;
        this.socket.terminate();
        if (++over === COUNT) print(`ended ${JSON.stringify(total)}`);
        return;
      case 'error':
        if (frame.code !== 'overloaded' || job === undefined) print(`wrong: ${JSON.stringify(frame)}`);
        total.overloaded++;
        setTimeout(() => this.follow([[id, job]]), 200 + Math.random() * 800);
        return;
      default:
        print(`wrong: ${JSON.stringify(frame)}`);
    }
  }
}

setInterval(() => {
  base = readFileSync(file, 'utf8').trim();
}, 50).unref();
await Promise.all(Array.from({ length: COUNT }, (_, i) => new Client(Number(first) + i).run()));
