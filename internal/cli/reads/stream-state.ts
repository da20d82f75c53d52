import type { StreamInfo } from 'nats';

/** Whether the stream still has every message that was ever stored in it. */
export function isPristine({ state }: StreamInfo): boolean {
  return state.first_seq <= 1 && (state.num_deleted ?? 0) === 0;
}
