interface Wait {
  readonly met: () => boolean;
  readonly resolve: () => void;
}

/** Those who wait for something that comes with a frame: it is looked at after each, and not from time to time. */
export class Waits {
  #waits: Wait[] = [];

  /** @param describe what there is, for the error */
  until(met: () => boolean, what: string, timeoutMs: number, describe: () => string): Promise<void> {
    if (met()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const fail = (): void => reject(new Error(`not within ${timeoutMs} ms: ${what}; ${describe()}`));
      const timer = setTimeout(fail, timeoutMs);
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.#waits.push({ met, resolve: done });
    });
  }

  /** Something has come. */
  wake(): void {
    if (this.#waits.length === 0) return;
    const met = this.#waits.filter((wait) => wait.met());
    this.#waits = this.#waits.filter((wait) => !met.includes(wait));
    for (const wait of met) wait.resolve();
  }
}
