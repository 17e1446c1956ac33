import * as v from 'valibot';
import { parseDocument } from '../jobs/parse-document';
import { sublayerKinds } from '../models/model-summary';
import type { ModelSummary } from '../models/model-summary';
import { compressionChoiceSchema } from '../tensornet/compression-choice';
import { UserError } from '../user-error';
import type { Plan } from './plan';

/** A patch has the id of what it stands for. */
export const kindsInIds = sublayerKinds.filter((kind) => kind !== 'patch');

const id = v.pipe(
  v.string(),
  v.regex(
    new RegExp(`^block\\.\\d+(\\.(${kindsInIds.join('|')}|expert\\.\\d+))?$`),
    (issue) => `${issue.received} is not an id such as "block.3.attention" or "block.3"`,
  ),
);

export const planSchema = v.strictObject({
  $schema: v.optional(v.string()),
  format: v.literal('espalier.plan'),
  version: v.literal(1),
  model: v.strictObject({ path: v.string(), fingerprint: v.optional(v.string()) }),
  remove: v.array(id),
  compress: v.optional(v.array(compressionChoiceSchema)),
  patch: v.optional(
    v.pipe(
      v.array(v.strictObject({ sublayer: id, program: v.string(), file: v.string() })),
      v.check(
        (patches) => new Set(patches.map(({ sublayer }) => sublayer)).size === patches.length,
        'A sublayer is patched once at most',
      ),
    ),
  ),
  protect: v.optional(v.array(id)),
  profile: v.optional(v.string()),
  note: v.optional(v.string()),
});

/**
 * Parses the text of a `*.plan.json`.
 * @throws UserError naming the file and the field.
 */
export function parsePlan(text: string, file: string): Plan {
  return parseDocument(planSchema, text, file, 'a prune plan') as Plan;
}

/** @throws UserError where a plan was made for another model; plans written by hand do not say for which. */
export function requireMadeFor(
  { model }: Plan,
  { path, fingerprint }: Pick<ModelSummary, 'path' | 'fingerprint'>,
  details: { readonly file?: string; readonly remedy: string },
): void {
  if (model.fingerprint !== undefined && model.fingerprint !== fingerprint) {
    throw new UserError(`The plan was made for another model than ${path}.`, {
      ...details,
      field: 'model.fingerprint',
    });
  }
}
