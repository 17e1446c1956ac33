import { parseJsonOrUndefined } from '../../parse-json';
import * as v from 'valibot';
import { prefix, shownSchema } from './registry';

/** Types of arrays in messages. */
const arrays = {
  Float32Array,
  Float64Array,
  Int8Array,
  Uint8Array,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  BigInt64Array,
  BigUint64Array,
};
const mark = '$array';
/** Key for numbers that JSON can't represent. */
const numberMark = '$number';

/** Encodes plain data with typed arrays as JSON text, with arrays in base64. */
export function encode(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) => {
    if (typeof one === 'number' && !Number.isFinite(one)) {
      return { [numberMark]: String(one) };
    }
    if (!ArrayBuffer.isView(one)) {
      return one;
    }
    const bytes = Buffer.from(one.buffer, one.byteOffset, one.byteLength);
    return { [mark]: one.constructor.name, bytes: bytes.toString('base64') };
  });
}

/**
 * Decodes text from {@link encode}, or any other JSON text; undefined if it isn't JSON. Validate the result with a
 * schema.
 */
export function decode(text: string): unknown {
  return parseJsonOrUndefined(text, (_: string, one: unknown) => {
    if (typeof one === 'object' && one !== null && numberMark in one) {
      return Number(one[numberMark]);
    }
    if (typeof one !== 'object' || one === null || !(mark in one) || !('bytes' in one)) {
      return one;
    }
    const name = String(one[mark]);
    const bytes = Uint8Array.from(Buffer.from(String(one.bytes), 'base64'));
    const constructor = Object.hasOwn(arrays, name)
      ? arrays[name as keyof typeof arrays]
      : undefined;
    return constructor === undefined || bytes.length % constructor.BYTES_PER_ELEMENT !== 0
      ? undefined
      : new constructor(bytes.buffer);
  });
}

/** Retention of results and setups in seconds, for jobs that are restarted. */
export const retentionSeconds = 24 * 60 * 60;

/** Queue name of a worker. BullMQ writes keys as PREFIX:QUEUE. */
export const queueName = (worker: string): string => `pieces-${worker}`;
/** Redis key of the setup of a job. */
export const setupKey = (key: string): string => `${prefix}:setup:${key}`;
/** Redis key of the result of a work item. */
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
