/** @jsxImportSource preact */
import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

/** Rows above and below what is seen, so that a quick turn of the wheel shows no hole. */
const SPARE = 6;

export interface VirtualListProps {
  readonly count: number;
  readonly label: string;
  /** The cells of the head; null: there is none. */
  readonly head: ComponentChildren;
  readonly columns: number;
  readonly class: string;
  /** One row, `role="row"`, with this `style`. */
  readonly row: (index: number) => ComponentChildren;
  /** Calls when Enter is pressed on a row, or it is clicked. */
  readonly onOpen: (index: number) => void;
  /** The row that the keyboard is at; -1: none. */
  readonly active: number;
  readonly onActive: (index: number) => void;
  /** The keyboard is here from the beginning. */
  readonly hasFocus?: boolean;
}

/**
 * A table of any length, of which only the rows that are seen are in the document. One stop of the tabulator; in it the
 * arrows, Page Up, Page Down, Home and End move, and Enter opens.
 */
export function VirtualList(props: VirtualListProps) {
  const { count, label, head, columns, row, onOpen, active, onActive, hasFocus = false } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const probe = useRef<HTMLDivElement>(null);
  const [{ top, height, rowHeight }, measure] = useState({ top: 0, height: 600, rowHeight: 40 });

  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const look = (): void => {
      const next = {
        top: element.scrollTop,
        height: element.clientHeight,
        rowHeight: probe.current?.offsetHeight || 40,
      };
      measure((last) =>
        last.top === next.top && last.height === next.height && last.rowHeight === next.rowHeight
          ? last
          : next,
      );
    };
    look();
    const sizes = new ResizeObserver(look);
    sizes.observe(element);
    if (probe.current !== null) sizes.observe(probe.current);
    element.addEventListener('scroll', look, { passive: true });
    return () => {
      sizes.disconnect();
      element.removeEventListener('scroll', look);
    };
  }, []);

  const before = useRef(-1);
  const mustShow = useRef(true);
  useEffect(() => {
    const element = scroller.current;
    const last = before.current;
    before.current = active;
    if (element === null || active < 0) return;
    const headHeight = head === null ? 0 : rowHeight;
    const { scrollTop, clientHeight } = element;
    const isSeen = (index: number): boolean =>
      (index + 1) * rowHeight > scrollTop && index * rowHeight + headHeight < scrollTop + clientHeight;
    // Whoever has scrolled away looks at something else, and is left alone.
    const isFollowed = mustShow.current || (last >= 0 && isSeen(last));
    mustShow.current = false;
    if (!isFollowed) return;
    const from = active * rowHeight;
    if (from < scrollTop) element.scrollTop = from;
    else if (from + rowHeight + headHeight > scrollTop + clientHeight)
      element.scrollTop = from + rowHeight + headHeight - clientHeight;
  }, [active, rowHeight]);

  useEffect(() => {
    if (hasFocus) scroller.current?.focus({ preventScroll: true });
  }, []);

  const first = Math.max(0, Math.floor(top / rowHeight) - SPARE);
  const last = Math.min(count, Math.ceil((top + height) / rowHeight) + SPARE);
  const seen = Math.max(1, Math.floor(height / rowHeight) - 1);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const start = active < 0 ? Math.floor(top / rowHeight) - 1 : active;
    const moves: Readonly<Record<string, number>> = {
      ArrowDown: start + 1,
      j: start + 1,
      ArrowUp: start - 1,
      k: start - 1,
      PageDown: start + seen,
      PageUp: start - seen,
      Home: 0,
      End: count - 1,
    };
    const to = moves[event.key];
    if (to !== undefined) mustShow.current = true;
    if (to !== undefined && count > 0) onActive(Math.min(count - 1, Math.max(0, to)));
    // On a button of the head it presses that.
    else if (event.key === 'Enter' && active >= 0 && event.target === event.currentTarget) onOpen(active);
    else return;
    event.preventDefault();
  };
  const rows: ComponentChildren[] = [];
  for (let index = first; index < last; index++) rows.push(row(index));
  const activeId =
    active >= first && active < last ? { 'aria-activedescendant': `${props.class}-${active}` } : {};
  return (
    <div
      class={`scroller ${props.class}`}
      ref={scroller}
      role="grid"
      tabIndex={0}
      aria-label={label}
      aria-rowcount={count + (head === null ? 0 : 1)}
      aria-colcount={columns}
      {...activeId}
      onKeyDown={onKeyDown}
    >
      <div class="row row-probe" ref={probe} aria-hidden="true" />
      {head !== null && (
        <div class="row row-head" role="row" aria-rowindex={1}>
          {head}
        </div>
      )}
      <div class="rows" role="rowgroup" style={{ height: `${count * rowHeight}px` }}>
        {rows}
      </div>
    </div>
  );
}

/** Where a row of the list stands. */
export const rowStyle = (index: number) => ({ transform: `translateY(calc(var(--row) * ${index}))` });
