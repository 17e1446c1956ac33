import * as v from 'valibot';
import { writableTypes } from '../checkpoints/ggml-types';
import { parseDocument } from '../jobs/parse-document';
import { numberRanges, parseRanges } from '../models/width-pruning/number-ranges';
import { sublayerKinds } from '../models/model-summary';
import type { ModelSummary } from '../models/model-summary';
import { compressionChoiceSchema } from '../tensornet/compression-choice';
import { UserError } from '../user-error';
import type { Plan } from './plan';
import { say } from '../message';
import type { Message } from '../message';

/** A patch has the id of the sublayer that it replaces. */
export const kindsInIds = sublayerKinds.filter((kind) => kind !== 'patch');

/** Descriptions that editors show for a schema, as VS Code reads them from JSON schemas. */
const describe = <const T>(description: string, more?: Readonly<Record<string, unknown>>) =>
  v.metadata<T, Readonly<Record<string, unknown>>>({ description, ...more });

const sublayerIdSchema = v.pipe(
  v.string(),
  v.regex(
    new RegExp(`^block\\.\\d+(\\.(${kindsInIds.join('|')}|expert\\.\\d+))?$`),
    (issue) => `${issue.received} is not an id such as "block.3.attention" or "block.3"`,
  ),
  describe(
    'A sublayer (such as block.3.attention, block.3.feedforward, block.3.expert), a single expert of an MoE layer (block.3.expert.5) or a whole block (block.3). All count from 0.',
    {
      patternErrorMessage:
        'Write block.3.attention, block.3.feedforward or another kind that inspecting the model lists, or block.3 for the whole block.',
      defaultSnippets: [
        { label: 'attention sublayer', body: 'block.${1:0}.attention' },
        { label: 'MLP sublayer', body: 'block.${1:0}.feedforward' },
        { label: 'single expert', body: 'block.${1:0}.expert.${2:0}' },
        { label: 'whole block', body: 'block.${1:0}' },
      ],
    },
  ),
);

export const planSchema = v.pipe(
  v.strictObject({
    $schema: v.optional(v.string()),
    format: v.pipe(v.literal('espalier.plan'), describe('Marks the file as a plan.')),
    version: v.pipe(v.literal(1), describe('Version of the format.')),
    model: v.pipe(
      v.strictObject({
        path: v.pipe(
          v.string(),
          describe("The model folder, absolute or relative to this file's folder."),
        ),
        fingerprint: v.optional(
          v.pipe(
            v.string(),
            describe(
              'Fingerprint of the model the plan was made for. A plan written by hand may leave it out.',
            ),
          ),
        ),
      }),
      describe('The model that the plan is for.'),
    ),
    remove: v.pipe(
      v.array(sublayerIdSchema),
      describe('What is removed; may be empty where something is compressed.'),
    ),
    widths: v.optional(
      v.pipe(
        v.array(
          v.strictObject({
            sublayer: sublayerIdSchema,
            remove: v.pipe(
              v.string(),
              v.regex(numberRanges, 'Write numbers and ranges, such as 0-3,7'),
              v.check((text) => parseRanges(text) !== undefined, 'Write ranges in ascending order'),
              describe(
                'Channels of an MLP, or key/value heads of an attention layer with their query heads, counted from 0, as ranges such as 0-3,7.',
              ),
            ),
          }),
        ),
        v.check(
          (widths) => new Set(widths.map(({ sublayer }) => sublayer)).size === widths.length,
          'Each sublayer is listed at most once',
        ),
        describe(
          'Width pruning: what is removed from each MLP, attention or MoE layer that remains, each at most once.',
        ),
      ),
    ),
    compress: v.optional(
      v.pipe(
        v.array(compressionChoiceSchema),
        describe('How linear layers of what stays are compressed, each at most once.'),
      ),
    ),
    patch: v.optional(
      v.pipe(
        v.array(
          v.strictObject({
            sublayer: sublayerIdSchema,
            program: v.pipe(
              v.string(),
              describe(
                'The program that builds the graph, such as (push (add (connect identity))).',
              ),
            ),
            file: v.pipe(
              v.string(),
              describe(
                "A safetensors file of the weights, as espalier patch --plan writes it, relative to this file's folder.",
              ),
            ),
          }),
        ),
        v.check(
          (patches) => new Set(patches.map(({ sublayer }) => sublayer)).size === patches.length,
          'A sublayer is patched once at most',
        ),
        describe('Graph modules that replace sublayers, each at most once; those are removed.'),
      ),
    ),
    types: v.optional(
      v.pipe(
        v.record(v.string(), v.picklist(writableTypes)),
        describe(
          'Types of single tensors of a GGUF file, by their names in a GGUF file of the original, such as blk.0.ffn_down.weight; the others get those of --type.',
        ),
      ),
    ),
    byImportance: v.optional(
      v.pipe(
        v.literal(true),
        describe('Whether those types were measured with rounding by an importance matrix.'),
      ),
    ),
    protect: v.optional(
      v.pipe(v.array(sublayerIdSchema), describe('What a later search must keep.')),
    ),
    profile: v.optional(
      v.pipe(
        v.string(),
        describe("The layer profile it came from, relative to this file's folder."),
      ),
    ),
    note: v.optional(v.pipe(v.string(), describe('Anything worth remembering.'))),
  }),
  describe('What Espalier changes in a model.', {
    title: 'Plan',
    defaultSnippets: [
      {
        label: 'New plan',
        body: {
          format: 'espalier.plan',
          version: 1,
          model: { path: '${1:model-folder}' },
          remove: ['block.${2:0}.attention'],
        },
      },
    ],
  }),
);

/**
 * Parses the text of a `*.plan.json`.
 * @throws UserError naming the file and the field.
 */
export function parsePlan(text: string, file: string): Plan {
  return parseDocument(planSchema, text, file, say`a plan`) as Plan;
}

/** @throws UserError if a plan was made for another model; plans written by hand do not say for which. */
export function requireMadeFor(
  { model }: Plan,
  { path, fingerprint }: Pick<ModelSummary, 'path' | 'fingerprint'>,
  details: { readonly file?: string; readonly remedy: Message },
): void {
  if (model.fingerprint !== undefined && model.fingerprint !== fingerprint) {
    throw new UserError('plan-mismatch', say`The plan was made for another model than ${path}.`, {
      ...details,
      field: 'model.fingerprint',
    });
  }
}
