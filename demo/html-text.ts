/** Whether a text is HTML, by how it begins. */
export function isHtml(text: string): boolean {
  return /^\s*(?:<!--[\s\S]{0,1000}?-->\s*)?<(?:!doctype\s+html|html)[\s>]/i.test(text.slice(0, 2_000));
}

/** What is between these is not read by people. */
const UNREAD = new Set(['head', 'script', 'style', 'template', 'noscript', 'svg']);
const BLOCKS =
  /^(?:address|article|aside|blockquote|body|br|caption|dd|details|div|dl|dt|figcaption|figure|footer|form|h[1-6]|header|hr|html|legend|li|main|nav|ol|option|p|pre|section|summary|table|td|th|title|tr|ul)$/;
const PARAGRAPHS = /^(?:article|blockquote|h[1-6]|p|pre|section|table)$/;
const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  apos: '’',
  bull: '•',
  copy: '©',
  gt: '>',
  hellip: '…',
  laquo: '«',
  ldquo: '“',
  lsquo: '‘',
  lt: '<',
  mdash: '—',
  middot: '·',
  nbsp: ' ',
  ndash: '–',
  quot: '"',
  raquo: '»',
  rdquo: '”',
  rsquo: '’',
  shy: '',
};

/**
 * The text of HTML as people read it, near enough to count its words and to show its headings. Goes through it once, whatever
 * is in it.
 */
export function htmlText(html: string): string {
  const text: string[] = [];
  let at = 0;
  while (at < html.length) {
    const open = html.indexOf('<', at);
    if (open < 0) break;
    text.push(flowing(html.slice(at, open)));
    at = open;
    if (html.startsWith('<!--', open)) {
      at = behind(html, '-->', open + 4);
      continue;
    }
    // A sign that is less than what follows.
    if (!/[a-z!?/]/i.test(html.charAt(open + 1))) {
      text.push('<');
      at = open + 1;
      continue;
    }
    at = behind(html, '>', open);
    const [, slash = '', tag = ''] = /^<(\/?)([a-z][a-z0-9]*)/i.exec(html.slice(open, open + 32)) ?? [];
    const name = tag.toLowerCase();
    if (slash === '' && UNREAD.has(name)) at = behindEnd(html, name, at);
    else if (PARAGRAPHS.test(name)) text.push('\n\n');
    else if (BLOCKS.test(name)) text.push('\n');
  }
  text.push(flowing(html.slice(at)));
  // Line by line: a pattern for the spaces around a line end is tried from each space of a run, which takes for ever.
  return text
    .join('')
    .split('\n')
    .map((line) => line.trim())
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim()
    .concat('\n');
}

/** Where what comes next ends; the end of all, when it does not come. */
function behind(html: string, mark: string, from: number): number {
  const at = html.indexOf(mark, from);
  return at < 0 ? html.length : at + mark.length;
}

function behindEnd(html: string, name: string, from: number): number {
  const end = new RegExp(`</${name}\\s*>`, 'gi');
  end.lastIndex = from;
  return end.exec(html) === null ? html.length : end.lastIndex;
}

/** Line breaks in the source mean no more than a space. */
function flowing(text: string): string {
  return text
    .replace(/[ \t\r\n\f]+/g, ' ')
    .replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));/gi, (whole, decimal, hex, name) => {
      if (name !== undefined) return ENTITIES[name] ?? whole;
      const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
      const isCharacter = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
      return isCharacter ? String.fromCodePoint(code) : '\ufffd';
    });
}
