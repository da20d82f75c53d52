/** Nodes for the first jobs; there are half as many more each time they are used up. */
const FIRST_NODES = 1_024;

/**
 * What is known of each watched job, in columns: a job is a node (an index into all of them), and costs about 100
 * bytes and its id, where an object for each would cost twice as much and the garbage collector's time.
 */
export class JobTable {
  readonly #nodes = new Map<string, number>();
  readonly #limit: number;
  #ids: Array<string | undefined> = [];
  /** Nodes that were used and are free again. */
  #free: number[] = [];
  /** Nodes from here on were never used. */
  #unused = 0;
  /** The seq of the job's newest event. */
  seq = new Float64Array();
  /** When the job last gave a sign of life, by the listening clock. */
  heard = new Float64Array();
  /** The attempt of its newest event; 0: it named none. */
  attempt = new Float64Array();
  /** After how many milliseconds of silence it stalls; Infinity: never. */
  stallMs = new Float64Array();
  /** After how many milliseconds of silence it times out; Infinity: never. */
  timeoutMs = new Float64Array();
  #flags = new Uint8Array();

  /** @param limit the most jobs at once */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#nodes.size;
  }

  get isFull(): boolean {
    return this.size >= this.#limit;
  }

  /** How many nodes there is room for. */
  get nodes(): number {
    return this.seq.length;
  }

  nodeOf(id: string): number | undefined {
    return this.#nodes.get(id);
  }

  idOf(node: number): string {
    return this.#ids[node] as string;
  }

  /** Adds a job that is not there, without flags. Only while it is not full; its columns are to be written. */
  add(id: string): number {
    const node = this.#free.pop() ?? this.#unused++;
    if (node >= this.nodes) this.#grow();
    this.#nodes.set(id, node);
    this.#ids[node] = id;
    this.#flags[node] = 0;
    return node;
  }

  remove(node: number): void {
    this.#nodes.delete(this.idOf(node));
    this.#ids[node] = undefined;
    this.#free.push(node);
  }

  /** Whether any of these flags (bits) is set. */
  has(node: number, flags: number): boolean {
    return ((this.#flags[node] as number) & flags) !== 0;
  }

  set(node: number, flags: number): void {
    this.#flags[node] = (this.#flags[node] as number) | flags;
  }

  clear(node: number, flags: number): void {
    this.#flags[node] = (this.#flags[node] as number) & ~flags;
  }

  #grow(): void {
    const nodes = Math.min(this.#limit, Math.max(FIRST_NODES, Math.ceil(this.nodes * 1.5)));
    const larger = (column: Float64Array): Float64Array<ArrayBuffer> => {
      const copy = new Float64Array(nodes);
      copy.set(column);
      return copy;
    };
    this.seq = larger(this.seq);
    this.heard = larger(this.heard);
    this.attempt = larger(this.attempt);
    this.stallMs = larger(this.stallMs);
    this.timeoutMs = larger(this.timeoutMs);
    const flags = new Uint8Array(nodes);
    flags.set(this.#flags);
    this.#flags = flags;
  }
}
