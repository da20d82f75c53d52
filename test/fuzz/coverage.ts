import { Session } from 'node:inspector';
import { setFlagsFromString } from 'node:v8';

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}
interface ScriptCoverage {
  readonly scriptId: string;
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

/** The sources that are fuzzed. Checks that TypeBox compiles at run time have no URL. */
const isOurs = ({ url }: ScriptCoverage): boolean => url === '' || /\/(?:internal|schemas)\//.test(url);

/** What ran: the blocks; and each block with the power of two of its count, as libFuzzer counts. */
export interface Ran {
  readonly blocks: ReadonlySet<string>;
  readonly features: ReadonlySet<string>;
}

/**
 * Which blocks of the code under test ran, as V8 counts them in this process.
 *
 * V8 names a block only when it ran less or more often than the one around it. So a block is known from the first time
 * on that it was left out, and each later time that it is not, it ran.
 */
export class BlockCoverage implements Disposable {
  readonly #session = new Session();
  /** By function: the blocks that were left out at least once. */
  readonly #known = new Map<string, Map<string, Range>>();

  constructor() {
    // What V8 optimises, it may put into another function, and then it does not count it.
    setFlagsFromString('--no-opt');
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** What ran since the last call. */
  take(): Ran {
    const blocks = new Set<string>();
    const features = new Set<string>();
    for (const { scriptId, functions } of this.#scripts().filter(isOurs)) {
      for (const { ranges } of functions) {
        const [whole] = ranges;
        if (whole === undefined || whole.count === 0) continue;
        const name = `${scriptId}:${whole.startOffset}`;
        blocks.add(name);
        for (const range of ranges) {
          if (range.count > 0) features.add(`${name}:${keyOf(range)}*${Math.floor(Math.log2(range.count))}`);
        }
        for (const block of this.#blocksThatRan(name, ranges)) {
          blocks.add(`${name}:${block}`);
          features.add(`${name}:${block}`);
        }
      }
    }
    return { blocks, features };
  }

  *#blocksThatRan(name: string, ranges: readonly Range[]): Generator<string> {
    const leftOut = ranges.filter(({ count }) => count === 0);
    const known = this.#known.get(name) ?? new Map<string, Range>();
    this.#known.set(name, known);
    for (const range of leftOut) known.set(keyOf(range), range);
    for (const [key, { startOffset, endOffset }] of known) {
      const isLeftOut = leftOut.some((one) => one.startOffset <= startOffset && one.endOffset >= endOffset);
      if (!isLeftOut) yield key;
    }
  }

  #scripts(): readonly ScriptCoverage[] {
    let result: readonly ScriptCoverage[] = [];
    // The answer of a session in the same thread comes before `post` returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error !== null) throw error;
      result = answer.result;
    });
    return result;
  }

  [Symbol.dispose](): void {
    this.#session.post('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
    setFlagsFromString('--opt');
  }
}

const keyOf = ({ startOffset, endOffset }: Range): string => `${startOffset}-${endOffset}`;
