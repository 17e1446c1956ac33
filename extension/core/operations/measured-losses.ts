import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { userCacheFolder } from '../jobs/user-cache';
import { writeDocument } from '../jobs/write-document';
import { parseJsonText } from '../parse-json';
import type { Runtime } from '../pipelines/runtimes';
import { readSmallText } from '../regular-file';

const lossSchema = v.strictObject({
  /** Perplexity over the original's. */
  perplexityRatio: v.number(),
  /** Nats per token. */
  klDivergence: v.optional(v.number()),
});

/** Loss of a smaller model, measured on held-out text. */
export type MeasuredLoss = Readonly<v.InferOutput<typeof lossSchema>>;

const lossesSchema = v.strictObject({
  format: v.literal('espalier.losses'),
  version: v.literal(1),
  losses: v.record(v.string(), lossSchema),
});

/** Losses of smaller models made from a model on this machine, by runtime and size. */
export async function readLosses(
  fingerprint: string,
): Promise<(runtime: Runtime, size: string) => MeasuredLoss | undefined> {
  const losses = await read(lossFile(fingerprint));
  return (runtime, size) => losses[lossKey(runtime, size)];
}

/** Remembers the loss of a smaller model, for the next list of sizes. */
export async function rememberLoss(
  fingerprint: string,
  { runtime, size }: { readonly runtime: Runtime; readonly size: string },
  loss: MeasuredLoss,
): Promise<void> {
  const file = lossFile(fingerprint);
  const losses = { ...(await read(file)), [lossKey(runtime, size)]: loss };
  await mkdir(dirname(file), { recursive: true });
  await writeDocument(file, { format: 'espalier.losses', version: 1, losses });
}

const lossKey = (runtime: Runtime, size: string): string => `${runtime} ${size.toUpperCase()}`;

const lossFile = (fingerprint: string): string => {
  const name = createHash('sha256').update(fingerprint).digest('hex').slice(0, 32);
  return join(userCacheFolder(), 'losses', `${name}.json`);
};

/** A cache that can't be read is an empty one. */
async function read(file: string): Promise<Readonly<Record<string, MeasuredLoss>>> {
  try {
    return v.parse(lossesSchema, parseJsonText(await readSmallText(file))).losses;
  } catch {
    return {};
  }
}
