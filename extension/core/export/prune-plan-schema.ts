import * as v from 'valibot';
import { parseDocument } from '../jobs/parse-document';
import { sublayerKinds } from '../models/model-summary';
import { compressionMethods } from '../tensornet/compression-choice';
import type { CompressionMethod } from '../tensornet/compression-choice';
import type { PrunePlan } from './prune-plan';

const id = v.pipe(
  v.string(),
  v.regex(
    new RegExp(`^block\\.\\d+(\\.(${sublayerKinds.join('|')}|expert\\.\\d+))?$`),
    (issue) => `${issue.received} is not an id such as "block.3.attention" or "block.3"`,
  ),
);

/** What a level is in the method, and which numbers it can be. */
const levels: Readonly<
  Record<CompressionMethod, { readonly name: string; readonly holds: (level: number) => boolean }>
> = {
  mpo: { name: 'a bond dimension, such as 16', holds: (level) => level >= 1 },
  lowrank: { name: 'a rank, such as 64', holds: (level) => level >= 1 },
  int8: {
    name: 'a block size, a power of 2 from 16 to 4096, or 0 for a scale for each output',
    holds: (level) => level === 0 || isBlockSize(level),
  },
  int4: { name: 'a block size, a power of 2 from 16 to 4096', holds: isBlockSize },
};

function isBlockSize(level: number): boolean {
  return level >= 16 && level <= 4096 && Number.isInteger(Math.log2(level));
}

const choice = v.pipe(
  v.strictObject({
    tensor: v.pipe(v.string(), v.minLength(1)),
    method: v.picklist(compressionMethods),
    level: v.pipe(v.number(), v.integer(), v.minValue(0)),
    variant: v.optional(v.string()),
    then: v.optional(v.picklist(['int8', 'int4'])),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) {
      return;
    }
    const { method, level, then } = dataset.value;
    if (!levels[method].holds(level)) {
      addIssue({ message: `The level of ${method} is ${levels[method].name}, not ${level}` });
    }
    if (then !== undefined && method !== 'lowrank') {
      addIssue({ message: `"then" quantizes what lowrank leaves; ${method} leaves nothing` });
    }
  }),
);

const planSchema = v.strictObject({
  $schema: v.optional(v.string()),
  format: v.literal('espalier.pruneplan'),
  version: v.literal(1),
  model: v.strictObject({ path: v.string(), fingerprint: v.optional(v.string()) }),
  remove: v.array(id),
  compress: v.optional(v.array(choice)),
  protect: v.optional(v.array(id)),
  profile: v.optional(v.string()),
  note: v.optional(v.string()),
});

/**
 * Parses the text of a `*.pruneplan.json`.
 * @throws UserError naming the file and the field.
 */
export function parsePrunePlan(text: string, file: string): PrunePlan {
  return parseDocument(planSchema, text, file, 'a prune plan') as PrunePlan;
}
