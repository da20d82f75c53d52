/**
 * Makes the machine of a test run a bad one: again and again one of the run's processes, whichever, stands still for a
 * moment, as on a machine that is shared. A test that fails then has taken a moment for a fault. `make test-stalls`;
 * Linux only. What runs at a terminal that a test made is spared: to a shell there it would be a Ctrl-Z.
 */
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const PAUSE_MS = 300;
const SHORTEST_MS = 100;

interface Seen {
  pid: number;
  parent: number;
  /** As proc(5) has it: T is stopped, Z has ended. */
  state: string;
  /** The number of its terminal; 0: it has none. */
  terminal: number;
}

/** @param options.random 0 to 1, as Math.random gives it */
export class ProcessPauser implements AsyncDisposable {
  readonly #root: number;
  readonly #longestMs: number;
  readonly #random: () => number;
  readonly #running: Promise<void>;
  #isOver = false;
  /** How many there were. */
  count = 0;

  /** Every process below `root` may be hit; `root` itself is not. */
  constructor({ root, longestMs, random }: { root: number; longestMs: number; random: () => number }) {
    this.#root = root;
    this.#longestMs = longestMs;
    this.#random = random;
    this.#running = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      const all = await processes();
      const ours = all.find(({ pid }) => pid === this.#root)?.terminal;
      const awake = below(this.#root, all).filter(
        ({ state, terminal }) => !'TtZX'.includes(state) && (terminal === 0 || terminal === ours),
      );
      const one = awake[Math.floor(this.#random() * awake.length)];
      if (one !== undefined && signal(one.pid, 'SIGSTOP')) {
        this.count += 1;
        await delay(SHORTEST_MS + this.#random() * Math.max(0, this.#longestMs - SHORTEST_MS));
        signal(one.pid, 'SIGCONT');
      }
      await delay(this.#random() * PAUSE_MS);
    }
  }
}

async function processes(): Promise<Seen[]> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const all = await Promise.all(
    names.map(async (name) => {
      const text = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
      // The name of the program stands in brackets and may hold anything, brackets too.
      const [state = '', parent, , , terminal] = text.slice(text.lastIndexOf(')') + 2).split(' ');
      return { pid: Number(name), parent: Number(parent), state, terminal: Number(terminal) };
    }),
  );
  return all.filter(({ state }) => state !== '');
}

function below(root: number, all: readonly Seen[]): Seen[] {
  const found = all.filter(({ parent }) => parent === root);
  return found.flatMap((one) => [one, ...below(one.pid, all)]);
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

/** For vitest's `globalSetup`. HEADWAY_STALLS is the longest time that a process stands still, in ms. */
export default function setup(): () => Promise<void> {
  const text = process.env.HEADWAY_STALLS ?? '';
  const longestMs = Number(text);
  if (!(longestMs >= SHORTEST_MS)) {
    throw new Error(
      `HEADWAY_STALLS is ${JSON.stringify(text)}; expected milliseconds, at least ${SHORTEST_MS}`,
    );
  }
  const stalls = new ProcessPauser({ root: process.pid, longestMs, random: Math.random });
  return async () => {
    await stalls[Symbol.asyncDispose]();
    process.stdout.write(
      `${stalls.count} times a process of this run stood still for up to ${longestMs} ms\n`,
    );
  };
}
