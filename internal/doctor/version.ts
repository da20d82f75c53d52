/** The numbers of a version such as 2.10.27 or 2.12.0-RC.1; null when there are none. */
function numbersOf(version: string): readonly number[] | null {
  const numbers = /^v?(\d+)\.(\d+)(?:\.(\d+))?/.exec(version)?.slice(1, 4);
  return numbers === undefined ? null : numbers.map((number) => Number(number ?? 0));
}

/** Whether a server's version is known to be before another; a version that cannot be read is not. */
export function isBefore(version: string, other: string): boolean {
  const own = numbersOf(version);
  const wanted = numbersOf(other);
  if (own === null || wanted === null) return false;
  const at = own.findIndex((number, index) => number !== wanted[index]);
  return at >= 0 && (own[at] as number) < (wanted[at] as number);
}
