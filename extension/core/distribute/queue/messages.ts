import * as v from 'valibot';
import { prefix, shownSchema } from './registry';

/** Retention of results and setups in seconds, for jobs that are restarted. */
export const retentionSeconds = 24 * 60 * 60;

/** Queue name of a worker. BullMQ writes keys as PREFIX:QUEUE. */
export const queueName = (worker: string): string => `pieces-${worker}`;
export const setupKey = (key: string): string => `${prefix}:setup:${key}`;
export const resultKey = (piece: string): string => `${prefix}:result:${piece}`;
/** Key of an attempt's failure. The next attempt has another key. */
export const failureKey = (attempt: string): string => `${prefix}:failure:${attempt}`;

/** Schema of a work item for remote workers. Contains no paths and no code. */
export const orderSchema = v.object({
  attempt: v.string(),
  piece: v.string(),
  setup: v.string(),
  request: v.unknown(),
});
export type Order = v.InferOutput<typeof orderSchema>;

/** Schema of a setup on the server. */
export const sharedSchema = v.object({
  kind: v.string(),
  /** Fingerprints of models and datasets, by purpose. */
  files: v.record(v.string(), v.string()),
  data: v.unknown(),
});

/** Schema of a failed attempt. */
export const failureSchema = v.object({
  text: shownSchema,
  /** Last output of its process. */
  log: v.array(shownSchema),
  /** True if every attempt would fail, so that the user has to fix the problem. */
  isFinal: v.boolean(),
  /** True if its process was lost. */
  isLost: v.boolean(),
});
export type Failure = v.InferOutput<typeof failureSchema>;
