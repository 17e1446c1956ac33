import { join } from 'node:path';
import * as v from 'valibot';
import { readModelText } from '../../checkpoints/model-file';
import { parseJsonOrUndefined, setField } from '../../parse-json';
import { say } from '../../message';
import type { Message } from '../../message';

/** The file by which onnxruntime-genai runs a graph. */
export const genaiConfig = 'genai_config.json';

const ports = v.record(v.string(), v.unknown());
const schema = v.object({
  model: v.object({
    decoder: v.object({
      filename: v.string(),
      num_hidden_layers: v.number(),
      num_attention_heads: v.optional(v.number()),
      num_key_value_heads: v.optional(v.number()),
      inputs: ports,
      outputs: ports,
      sliding_window: v.optional(v.object({ layers: v.optional(v.array(v.number())) })),
    }),
  }),
});

type Decoder = v.InferOutput<typeof schema>['model']['decoder'];

/** Changes to the ONNX Runtime GenAI package of a graph after removing some of its caches. */
export interface GenaiPackage {
  /** genai_config.json of the result, which counts the caches that are left. */
  readonly text: string;
  /** New names of inputs and outputs: onnxruntime-genai numbers caches from 0 without gaps. */
  readonly names: ReadonlyMap<string, string>;
}

/**
 * Updated description of a graph `file` with the inputs `left` in the package of `folder`, or the
 * reason why it can't be updated; undefined if the graph isn't part of a package.
 * @param keyHeads key/value heads of each attention of the graph
 */
export async function genaiPackage(
  folder: string,
  file: string,
  left: ReadonlySet<string>,
  keyHeads: readonly number[] = [],
): Promise<GenaiPackage | { readonly problem: Message } | undefined> {
  const text = await readModelText(join(folder, genaiConfig)).catch(() => undefined);
  if (text === undefined) {
    return undefined;
  }
  const parsed = v.safeParse(schema, parseJsonOrUndefined(text));
  if (!parsed.success || parsed.output.model.decoder.filename !== file) {
    return { problem: say`${genaiConfig} is not copied: it doesn't describe ${file}.` };
  }
  const { decoder } = parsed.output.model;
  const count = decoder.num_hidden_layers;
  const cacheNames = (pattern: unknown, layer: number): string[] =>
    typeof pattern === 'string' && pattern.includes('%d')
      ? [pattern.replace('%d', String(layer))]
      : [];
  const pasts = ['past_key_names', 'past_value_names'].map((field) => decoder.inputs[field]);
  const patterns = [
    ...pasts,
    ...['present_key_names', 'present_value_names'].map((field) => decoder.outputs[field]),
  ];
  const layers = Array.from({ length: count }, (_, layer) => layer);
  const remaining = layers.filter((layer) =>
    pasts.flatMap((pattern) => cacheNames(pattern, layer)).some((name) => left.has(name)),
  );
  if (remaining.length === 0) {
    return { problem: say`${genaiConfig} is not copied: onnxruntime-genai needs a cache.` };
  }
  const heads = headFields(decoder, keyHeads);
  if (heads === undefined) {
    return {
      problem: say`${genaiConfig} is not copied: it has one number of heads for all blocks.`,
    };
  }
  const names = remaining.flatMap((layer, place) =>
    patterns.flatMap((pattern): [string, string][] => {
      const [before] = cacheNames(pattern, layer);
      const [after] = cacheNames(pattern, place);
      return before === undefined || after === undefined || before === after
        ? []
        : [[before, after]];
    }),
  );
  const windowed = decoder.sliding_window?.layers;
  const renumbers: [string[], unknown][] =
    remaining.length === count
      ? []
      : [
          [['num_hidden_layers'], remaining.length],
          ...(windowed === undefined
            ? []
            : [
                [['sliding_window', 'layers'], renumbered(windowed, remaining)] as [
                  string[],
                  unknown,
                ],
              ]),
        ];
  const fields = [...renumbers, ...heads];
  return {
    text: fields.reduce(
      (edited, [path, value]) => setField(edited, ['model', 'decoder', ...path], value),
      text,
    ),
    names: new Map(names),
  };
}

/** Fields with head counts that differ from the package's; undefined if attention layers disagree. */
function headFields(
  { num_attention_heads: heads, num_key_value_heads: before = heads }: Decoder,
  keyHeads: readonly number[],
): [string[], number][] | undefined {
  const [left] = keyHeads;
  if (left === undefined || heads === undefined || before === undefined) {
    return [];
  }
  if (keyHeads.some((one) => one !== left)) {
    return undefined;
  }
  return left !== before
    ? [
        [['num_attention_heads'], (heads / before) * left],
        [['num_key_value_heads'], left],
      ]
    : [];
}

/** Positions of the remaining `layers`, counted among the remaining ones. */
function renumbered(layers: readonly number[], remaining: readonly number[]): number[] {
  return layers.map((layer) => remaining.indexOf(layer)).filter((place) => place >= 0);
}
