import { createLocalJWKSet, type JSONWebKeySet, type LocalJWKSet } from 'jose';

/** Keys that were fetched, and how many there are. */
export interface FetchedKeys {
  readonly set: LocalJWKSet;
  readonly count: number;
}

export interface FetchLimits {
  /** For the whole answer, in ms. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
  readonly maxKeys: number;
}

/** Why keys could not be fetched, for the operator. It does not hold the address, which may hold a secret. */
export class KeySetError extends Error {}

/**
 * Asks once for a JSON Web Key Set. Does not follow redirects: the address decides whom the edge believes.
 *
 * @param stop ends the request early
 * @throws KeySetError whatever goes wrong
 */
export async function fetchKeySet(
  url: URL,
  limits: FetchLimits,
  stop: AbortController,
): Promise<FetchedKeys> {
  const late = new KeySetError(`no whole answer within ${limits.timeoutMs} ms`);
  const timer = setTimeout(() => stop.abort(late), limits.timeoutMs);
  try {
    const response = await fetch(url, {
      signal: stop.signal,
      redirect: 'manual',
      headers: { accept: 'application/jwk-set+json, application/json' },
    });
    if (response.status !== 200) {
      throw new KeySetError(`the answer has status ${response.status}; expected 200`);
    }
    return parse(await readText(response, limits.maxBytes), limits.maxKeys);
  } catch (error) {
    throw error instanceof KeySetError ? error : new KeySetError(reason(error));
  } finally {
    clearTimeout(timer);
    // Also lets go of an answer that was not read to its end.
    stop.abort();
  }
}

async function readText(response: Response, maxBytes: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw new KeySetError(`the answer is longer than ${maxBytes} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function parse(text: string, maxKeys: number): FetchedKeys {
  try {
    const value = JSON.parse(text) as JSONWebKeySet;
    // jose checks the shape.
    const set = createLocalJWKSet(value);
    const count = value.keys.length;
    if (count <= maxKeys) return { set, count };
  } catch {
    throw new KeySetError('the answer is not a JSON Web Key Set');
  }
  throw new KeySetError(`the answer holds more than ${maxKeys} keys`);
}

/** fetch hides what happened in the cause: "fetch failed" because of ECONNREFUSED. */
function reason(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = (cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? `the request failed (${code})` : 'the request failed';
}
