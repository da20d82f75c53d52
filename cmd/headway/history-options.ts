import type { NatsFlags } from './nats.js';
import type {
  ColorFlag,
  LastFlag,
  OutputFlag,
  SinceFlags,
  StartSequenceFlag,
  TimestampsFlag,
  UntilFlag,
} from './selection.js';

export type HistoryOptions = NatsFlags &
  SinceFlags &
  UntilFlag &
  StartSequenceFlag &
  LastFlag &
  OutputFlag &
  TimestampsFlag &
  ColorFlag;
