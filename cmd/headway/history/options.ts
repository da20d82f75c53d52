import type {
  ColorFlag,
  LastFlag,
  OutputFlag,
  SinceFlags,
  StartSequenceFlag,
  TimestampsFlag,
  UntilFlag,
} from '../choice/selection.js';
import type { PagerFlag } from '../show/output.js';
import type { NatsFlags } from '../world/nats.js';

export type HistoryOptions = NatsFlags &
  SinceFlags &
  UntilFlag &
  StartSequenceFlag &
  LastFlag &
  OutputFlag &
  TimestampsFlag &
  ColorFlag &
  PagerFlag & { readonly follow?: true };
