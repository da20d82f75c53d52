/** @jsxImportSource preact */
import { useEffect, useState } from 'preact/hooks';

export interface CopyButtonProps {
  readonly text: () => string;
  readonly children: string;
}

/** Puts a text on the clipboard, also where the page came over plain HTTP and has no right to the new way of it. */
export function CopyButton({ text, children }: CopyButtonProps) {
  const [result, setResult] = useState<'copied' | 'failed' | null>(null);
  useEffect(() => {
    if (result === null) return;
    const timer = setTimeout(() => setResult(null), 2_000);
    return () => clearTimeout(timer);
  }, [result]);
  const copy = async (): Promise<void> => {
    setResult((await copyText(text())) ? 'copied' : 'failed');
  };
  return (
    <button type="button" class="chip" onClick={() => void copy()}>
      <span aria-live="polite">
        {result === null ? children : result === 'copied' ? 'Copied' : 'Not copied'}
      </span>
    </button>
  );
}

async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'hidden';
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand('copy');
    area.remove();
    return isCopied;
  }
}
