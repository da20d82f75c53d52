/**
 * Shares an answer that is costly to make: all who ask while it is made get the same one, and so do those who ask within
 * `maxAgeMs` after it was begun. One that fails is forgotten at once.
 * @param maxAgeMs milliseconds from 0; 0: only who asks while it is made shares it
 * @param now milliseconds of a monotonic clock
 */
export function sharedAnswer<T>(
  maxAgeMs: number,
  now: () => number,
  make: () => Promise<T>,
): () => Promise<T> {
  let begunAt = 0;
  let answer: Promise<T> | null = null;
  let isMade = false;
  return () => {
    if (answer !== null && (!isMade || now() - begunAt < maxAgeMs)) return answer;
    begunAt = now();
    isMade = false;
    const made = make();
    answer = made;
    made.then(
      () => {
        if (answer === made) isMade = true;
      },
      () => {
        if (answer === made) answer = null;
      },
    );
    return made;
  };
}
