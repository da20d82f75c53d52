/** The first `max` characters (Unicode code points) of a text; one that is longer ends with "…". */
export function shorten(text: string, max: number): string {
  if (text.length <= max) return wellFormed(text);
  let count = 0;
  let end = 0;
  let cut = 0;
  for (const character of text) {
    count += 1;
    if (count === max) cut = end;
    if (count > max) return `${wellFormed(text.slice(0, cut))}…`;
    end += character.length;
  }
  return wellFormed(text);
}

// Half of a surrogate pair is no character, and would become three bytes that nobody wrote.
const wellFormed = (text: string): string =>
  text.replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, '\uFFFD');
