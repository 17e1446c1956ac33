// // Golden outputs of tiny models from other tools, and a model's error against them.
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ExampleValue, ModelInput } from '../../extension/core/models/model-input';
import { openModel } from '../../extension/core/models/open-model';
import { LayeredExecutor } from '../../extension/core/runtime/layered-executor';
import { targetStartId } from '../../extension/core/models/example';

/** Floats in a file next to the document that names it, or integers in the document itself. */
type Stored =
  | { readonly file: string; readonly shape: readonly number[] }
  | { readonly values: readonly number[]; readonly shape: readonly number[] };
type Rows = readonly (readonly number[])[];

/** The forms of test/fixtures: ids of a text, an image, inputs by name; see its README. */
interface Document {
  readonly inputIds?: Rows;
  readonly input_ids?: Rows;
  readonly decoder_input_ids?: Rows;
  readonly pixel_values?: Stored;
  readonly inputs?: Readonly<Record<string, Stored>>;
  readonly logits?: { readonly file: string };
  readonly output?: { readonly file: string };
}

/** Inputs of a model, and the outputs of all of them one after the other. */
export interface Golden {
  readonly inputs: readonly ModelInput[];
  readonly output: Float32Array;
}

/** Device and memory limit of the models. */
export const limits = { device: 'cpu', memoryBytes: 2 ** 30 } as const;

/** @param document a golden.json, or NAME.json of a NAME.gguf, whose outputs are in NAME.bin */
export async function readGolden(document: string): Promise<Golden> {
  const golden = JSON.parse(await readFile(document, 'utf8')) as Document;
  const folder = dirname(document);
  const floats = async (path: string): Promise<Float32Array> =>
    new Float32Array(Uint8Array.from(await readFile(path)).buffer);
  const { file } = golden.output ?? golden.logits ?? {};
  const output = file === undefined ? document.replace(/\.json$/, '.bin') : join(folder, file);
  const { inputs = {}, pixel_values: pixels, inputIds, input_ids: ids = inputIds } = golden;
  const named = pixels === undefined ? inputs : { pixel_values: pixels };
  const columns = await Promise.all(
    Object.entries(named).map(async ([name, stored]) => ({
      name,
      rows:
        'values' in stored
          ? idRows(stored)
          : floatRows(stored, await floats(join(folder, stored.file))),
    })),
  );
  const targets = golden.decoder_input_ids;
  return {
    inputs:
      ids === undefined
        ? (columns[0]?.rows ?? []).map((_, row) =>
            Object.fromEntries(
              columns.flatMap(({ name, rows }) =>
                rows[row] === undefined ? [] : [[name, rows[row]]],
              ),
            ),
          )
        : ids.map((source, row) =>
            targets?.[row] === undefined ? Int32Array.from(source) : makePair(source, targets[row]),
          ),
    output: await floats(output),
  };
}

function floatRows({ shape }: Stored, all: Float32Array): ExampleValue[] {
  const [batch = 1, ...rest] = shape;
  const size = all.length / batch;
  return Array.from({ length: batch }, (_, row) => ({
    ...{ dtype: 'F32', dims: [1, ...rest], data: all.slice(row * size, (row + 1) * size) },
  }));
}

function idRows({ values, shape }: Extract<Stored, { values: unknown }>): ExampleValue[] {
  const [batch = 1, ...rest] = shape;
  const size = values.length / batch;
  return Array.from({ length: batch }, (_, row) =>
    idTensor(values.slice(row * size, (row + 1) * size), [1, ...rest]),
  );
}

function idTensor(ids: readonly number[], dims = [1, ids.length]): ExampleValue {
  return { dtype: 'I64', dims, data: BigInt64Array.from(ids, BigInt) };
}

/** A source and its target. */
function makePair(source: readonly number[], target: readonly number[]): ModelInput {
  return {
    input_ids: idTensor(source),
    attention_mask: idTensor(source.map(() => 1)),
    decoder_input_ids: idTensor(target),
  };
}

/** Outputs of all inputs, one after the other, without some sublayers. A text is source and target of an encoder–decoder model. */
export async function runModel(
  path: string,
  inputs: readonly ModelInput[],
  removed: readonly string[] = [],
): Promise<Float32Array> {
  const model = await openModel(path);
  const executor = new LayeredExecutor(model, limits.device, limits.memoryBytes, {
    asItStands: true,
  });
  try {
    const outputs: Float32Array[] = [];
    for (const input of inputs) {
      const isText = targetStartId(model) !== undefined && input instanceof Int32Array;
      let state = await executor.embed(isText ? makePair([...input], [...input]) : input);
      for (const [index, { id }] of model.summary.sublayers.entries()) {
        [state = state] = removed.includes(id)
          ? await executor.skip(index, [state])
          : await executor.run(index, [state]);
      }
      outputs.push(await executor.logits(state));
    }
    return Float32Array.from(outputs.flatMap((output) => [...output]));
  } finally {
    await executor.dispose();
  }
}

/** max |a − b| / max |b| */
export function errorBetween(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) {
    return Number.POSITIVE_INFINITY;
  }
  let [difference, scale] = [0, 0];
  for (const [i, value] of expected.entries()) {
    difference = Math.max(difference, Math.abs((actual[i] ?? Number.NaN) - value));
    scale = Math.max(scale, Math.abs(value));
  }
  return difference / scale;
}

export const errorReason = (error: unknown): string =>
  error instanceof Error ? error.message : 'unknown';
