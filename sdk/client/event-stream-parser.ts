/**
 * Reads server-sent events as the HTML standard does (9.2.6), but for names, ids and `retry`, which are not used here.
 *
 * @param onData an event's data
 * @param onComment a comment's text, behind its colon
 * @returns takes the bytes as they come, cut anywhere
 */
export function eventStreamParser(
  onData: (data: string) => void,
  onComment: (text: string) => void,
): (bytes: Uint8Array) => void {
  const decoder = new TextDecoder();
  let rest = '';
  /** The last piece ended with a CR: an LF right behind it belongs to it. */
  let isAfterCr = false;
  let data: string | null = null;
  const line = (text: string): void => {
    if (text === '') {
      const whole = data;
      data = null;
      if (whole !== null) onData(whole);
      return;
    }
    const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(text) ?? [];
    if (field === '') onComment(value);
    else if (field === 'data') data = data === null ? value : `${data}\n${value}`;
  };
  return (bytes) => {
    let text = decoder.decode(bytes, { stream: true });
    if (text === '') return;
    if (isAfterCr && text.startsWith('\n')) text = text.slice(1);
    isAfterCr = text === '' ? false : text.endsWith('\r');
    // Only what is new can end a line: a long one that comes in many pieces is not searched again for each of them.
    const lines = text.split(/\r\n|\r|\n/);
    lines[0] = rest + (lines[0] ?? '');
    rest = lines.pop() ?? '';
    lines.forEach(line);
  };
}
