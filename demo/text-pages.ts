const PAGE_LINES = 50;
/** How far up from the last line of a page a better place to end it is looked for. */
const END_OF_PART_WINDOW = 20;
const END_OF_PARAGRAPH_WINDOW = 10;
/** Also holds for text without line ends, so that no page is ever a whole file of megabytes. */
const PAGE_CHARACTERS = 20_000;

/**
 * Splits a text into pages: at its form feeds when it has any, since then its author has said where pages end,
 * and otherwise after about 50 lines, at the end of a part or a paragraph when one is near. Joined, the pages are
 * the text again, without its form feeds. There is always at least one page.
 */
export function paginate(text: string): string[] {
  const sections = text.split('\f');
  const pages =
    sections.length > 1
      ? sections.flatMap((section) => fill(section, Number.POSITIVE_INFINITY))
      : fill(text, PAGE_LINES);
  return pages.length > 0 ? pages : [''];
}

function fill(text: string, lineLimit: number): string[] {
  const pages: string[] = [];
  let page: string[] = [];
  let characters = 0;

  const endPage = (lines: number) => {
    pages.push(page.slice(0, lines).join(''));
    page = page.slice(lines);
    characters = page.reduce((sum, line) => sum + line.length, 0);
  };

  for (const line of lines(text)) {
    if (page.length > 0 && characters + line.length > PAGE_CHARACTERS) endPage(page.length);
    // One line too many shows that the page is full and that it is not the last one.
    if (page.length >= lineLimit) endPage(bestEnd(page));
    page.push(line);
    characters += line.length;
  }
  const rest = page.join('');
  const last = pages.length - 1;
  // Blank lines at the end of the file are not worth a page.
  if (rest.trim() === '' && last >= 0) pages[last] += rest;
  else if (rest !== '') pages.push(rest);
  return pages;
}

/** After how many of its lines a full page should end, so that it does not cut a paragraph or strand a title. */
function bestEnd(page: readonly string[]): number {
  const blank = (index: number) => page[index]?.trim() === '';
  for (let end = page.length; end > page.length - END_OF_PART_WINDOW && end > 1; end -= 1) {
    if (blank(end - 1) && blank(end - 2)) return end;
  }
  for (let end = page.length; end > page.length - END_OF_PARAGRAPH_WINDOW && end > 1; end -= 1) {
    if (blank(end - 1)) return end;
  }
  return page.length;
}

/** The lines with their ends (of any system); lines that would not fit a page come in pieces. */
function* lines(text: string): Generator<string> {
  for (const [line] of text.matchAll(/[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+/g)) {
    let rest = line;
    while (rest.length > PAGE_CHARACTERS) {
      const cut = pieceEnd(rest);
      yield rest.slice(0, cut);
      rest = rest.slice(cut);
    }
    if (rest !== '') yield rest;
  }
}

/** Where to cut an overlong line: after a space when there is one, never inside a character. */
function pieceEnd(line: string): number {
  const space = line.lastIndexOf(' ', PAGE_CHARACTERS - 1);
  if (space >= PAGE_CHARACTERS / 2) return space + 1;
  const isHighSurrogate = (line.charCodeAt(PAGE_CHARACTERS - 1) & 0xfc00) === 0xd800;
  return isHighSurrogate ? PAGE_CHARACTERS - 1 : PAGE_CHARACTERS;
}
