/** What was asked of the page's server cannot be done: an answer of the form of RFC 9457. */
export class Problem extends Error {
  override readonly name = 'Problem';

  /**
   * @param code for programs; stable
   * @param detail for people: what is wrong, and what would be right
   */
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
  ) {
    super(detail);
  }

  /** As `application/problem+json`. */
  body(title: string): string {
    const { status, code, detail } = this;
    return JSON.stringify({ type: 'about:blank', title, status, code, detail });
  }
}
