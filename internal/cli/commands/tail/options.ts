import type { Event } from '../../../../schemas/event.js';
import {
  type ColorFlag,
  type FilterFlags,
  type LastFlag,
  type OutputFlag,
  passes,
  type SinceFlags,
  type StartSequenceFlag,
  type TimestampsFlag,
} from '../../flags/filters.js';
import type { PagerFlag } from '../../output/format.js';
import type { NatsFlags } from '../../runtime/nats.js';

export type TailOptions = NatsFlags &
  SinceFlags &
  StartSequenceFlag &
  LastFlag &
  FilterFlags &
  OutputFlag &
  TimestampsFlag &
  ColorFlag &
  PagerFlag & { readonly follow?: true };

/** Whether an event, whatever came after it, is one of those that were asked for. */
export const isWanted = (options: TailOptions, event: Event): boolean => passes(options, event);
