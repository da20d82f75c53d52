import type {
  ColorFlag,
  LastFlag,
  OutputFlag,
  SinceFlags,
  StartSequenceFlag,
  TimestampsFlag,
  UntilFlag,
} from '../../flags/filters.js';
import type { PagerFlag } from '../../output/format.js';
import type { NatsFlags } from '../../runtime/nats.js';

export type HistoryOptions = NatsFlags &
  SinceFlags &
  UntilFlag &
  StartSequenceFlag &
  LastFlag &
  OutputFlag &
  TimestampsFlag &
  ColorFlag &
  PagerFlag & { readonly follow?: true };
