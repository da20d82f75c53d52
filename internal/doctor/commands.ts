/** The commands of NATS that mend a stream. All of them were tried with its command line, 0.5, as they are here. */

/** `nats stream edit PROGRESS …`, which shows what would change and asks before it does. */
export const edit = (stream: string, ...flags: readonly string[]): string =>
  `\`nats stream edit ${stream} ${flags.join(' ')}\``;

/** A new stream in the place of one that cannot be edited. Its events can be kept, but not be put into the new one. */
export const makeAnew = (stream: string): string =>
  `stop the workers and edges, keep the events if they matter (\`headway export\`), \`nats stream rm ${stream}\`, then \`headway init\``;
