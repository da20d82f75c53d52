/**
 * The first `max` characters (Unicode code points) of a text; one that is longer ends with "…". Half of a surrogate pair
 * is no character, and would become three bytes that nobody wrote: it is replaced by U+FFFD.
 */
export function shorten(text: string, max: number): string {
  if (text.length <= max) return text.toWellFormed();
  let count = 0;
  let end = 0;
  let cut = 0;
  for (const character of text) {
    count += 1;
    if (count === max) cut = end;
    if (count > max) return `${text.slice(0, cut).toWellFormed()}…`;
    end += character.length;
  }
  return text.toWellFormed();
}
