import { type Frame, type UpdateFrame, WsClient } from './client.js';

/**
 * What a client is sent up to `caught_up`, in short: `reset retention`, `skipped limit 2 6`, `3`, `caught_up 5`.
 * @param show what stands for an update; its seq when not given
 */
export async function replayed(
  ws: string,
  path: string,
  show = ({ seq }: UpdateFrame) => String(seq),
): Promise<string[]> {
  await using client = await WsClient.connect(`${ws}/ws/upload-progress${path}`);
  const seen: string[] = [];
  for (;;) {
    const frame: Frame = await client.next();
    if (frame.type === 'reset') seen.push(`reset ${frame.reason}`);
    else if (frame.type === 'skipped') seen.push(`skipped ${frame.reason} ${frame.after} ${frame.before}`);
    else if (frame.type === 'progress_update') seen.push(show(frame as UpdateFrame));
    else if (frame.type === 'caught_up') return [...seen, `caught_up ${frame.cursor}`];
  }
}
