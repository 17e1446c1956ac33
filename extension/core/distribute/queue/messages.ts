import * as v from 'valibot';
import { prefix, shownSchema } from './registry';

/** Results and what jobs share are kept so long, for a job that is started again. */
export const keptSeconds = 24 * 60 * 60;

/** The queue of one worker. BullMQ writes its keys as PREFIX:QUEUE. */
export const queueOf = (worker: string): string => `pieces-${worker}`;
export const setupKey = (key: string): string => `${prefix}:setup:${key}`;
export const resultKey = (piece: string): string => `${prefix}:result:${piece}`;
/** Of one attempt, so that the next one finds none. */
export const failureKey = (attempt: string): string => `${prefix}:failure:${attempt}`;

/** What a worker is sent of a piece. It names no file, and holds no code. */
export const orderSchema = v.object({
  attempt: v.string(),
  piece: v.string(),
  setup: v.string(),
  request: v.unknown(),
});
export type Order = v.InferOutput<typeof orderSchema>;

/** What pieces of a job share, as it lies on the server. */
export const sharedSchema = v.object({
  kind: v.string(),
  /** Fingerprints of models and data sets, by what they are for. */
  files: v.record(v.string(), v.string()),
  data: v.unknown(),
});

/** Why an attempt has failed. */
export const failureSchema = v.object({
  text: shownSchema,
  /** What its process said last. */
  log: v.array(shownSchema),
  /** Whether it would fail everywhere: the user has to see to it. */
  isFinal: v.boolean(),
  /** Whether its process was gone. */
  isLost: v.boolean(),
});
export type Failure = v.InferOutput<typeof failureSchema>;
