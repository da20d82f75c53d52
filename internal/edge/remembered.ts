/** The most texts of which one function's answers are kept, and the longest of them. Together they bound memory. */
const MAX_TEXTS = 4_096;
const MAX_LENGTH = 128;

/**
 * The same function, which remembers what it answered: thousands of clients come from few addresses and follow few jobs.
 * When it has too many answers it forgets all of them: those that are asked for again are soon known again.
 * @param answer has to give the same answer to the same text each time
 */
export function remembered<A>(answer: (text: string) => A): (text: string) => A {
  const answers = new Map<string, A>();
  return (text) => {
    const known = answers.get(text);
    if (known !== undefined) return known;
    const made = answer(text);
    if (text.length > MAX_LENGTH) return made;
    if (answers.size >= MAX_TEXTS) answers.clear();
    // A text that was cut out of a request would keep all of that in memory.
    answers.set(Buffer.from(text).toString(), made);
    return made;
  };
}
