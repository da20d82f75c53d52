/** A page that is not shown has no frames; what it shows (a title, say) goes on by this, in milliseconds. */
const WITHOUT_FRAMES_MS = 250;

const waiting = new Set<() => void>();
let frame: number | undefined;
/** Set while a flush is to come. */
let timer: ReturnType<typeof setTimeout> | undefined;

function flush(): void {
  if (frame !== undefined) cancelAnimationFrame(frame);
  clearTimeout(timer);
  frame = undefined;
  timer = undefined;
  const due = [...waiting];
  waiting.clear();
  for (const run of due) run();
}

/**
 * Runs it with the page's next frame: once, however often it is asked for before. All that wait run in one turn, so that
 * what they change is drawn together.
 */
export function onNextFrame(run: () => void): void {
  waiting.add(run);
  if (timer !== undefined) return;
  frame = globalThis.requestAnimationFrame?.(flush);
  timer = setTimeout(flush, WITHOUT_FRAMES_MS);
}
