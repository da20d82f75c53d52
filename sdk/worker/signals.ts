/** Listens to each signal once, however many jobs have it: Node takes more than ten listeners for a leak. */
export class Signals {
  readonly #heard = new Map<AbortSignal, { readonly hear: () => void; readonly calls: Set<() => void> }>();

  /** Calls when the signal aborts; what it returns calls it off. */
  onAbort(signal: AbortSignal, call: () => void): () => void {
    const { hear, calls } = this.#heard.get(signal) ?? this.#listen(signal);
    calls.add(call);
    return () => {
      if (!calls.delete(call) || calls.size > 0) return;
      this.#heard.delete(signal);
      signal.removeEventListener('abort', hear);
    };
  }

  #listen(signal: AbortSignal) {
    const calls = new Set<() => void>();
    const hear = (): void => {
      for (const call of [...calls]) call();
    };
    signal.addEventListener('abort', hear, { once: true });
    const heard = { hear, calls };
    this.#heard.set(signal, heard);
    return heard;
  }
}
