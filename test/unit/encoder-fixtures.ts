import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LayeredModel } from '../../extension/core/models/layered-model';
import type { Example, ExampleValue } from '../../extension/core/models/model-input';
import { openModel } from '../../extension/core/models/open-model';
import { LayeredExecutor } from '../../extension/core/runtime/layered-executor';
import { floatsIn } from '../../extension/core/runtime/tensors';
import type { GoldenArray } from './fixtures';

const encodersFolder = join(import.meta.dirname, '../fixtures/encoders');
const seq2seqFolder = join(import.meta.dirname, '../fixtures/seq2seq');

const namesIn = (folder: string): readonly string[] =>
  readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();

export const encoderNames = namesIn(encodersFolder);

/** Encoders with remote code from the hub; no modeling file can be written for them. */
export const hubNames: readonly string[] = [
  'jina-bert',
  'neobert',
  'nomic-mixtures',
  'nomic-published',
];
export const stockNames = encoderNames.filter((name) => !hubNames.includes(name));

/** Text towers of models with two towers, which have no modeling file. */
export const textTowers = encoderNames.filter((name) => name.endsWith('-text-tower'));

export function encoderFixture(name: string, ...parts: readonly string[]): string {
  return join(encodersFolder, name, ...parts);
}

/** Encoder–decoder models. */
export const seq2seqNames = namesIn(seq2seqFolder);

/** Encoder–decoder models for text, with one tokenizer for source and target. */
export const seq2seqTextNames = seq2seqNames.filter(
  (name) => name !== 'whisper' && name !== 'marian-two',
);

export function seq2seqFixture(name: string, ...parts: readonly string[]): string {
  return join(seq2seqFolder, name, ...parts);
}

type StoredInput =
  | GoldenArray
  | { readonly shape: readonly number[]; readonly values: readonly number[] };

interface StoredGolden {
  readonly inputs: Readonly<Record<string, StoredInput>>;
  readonly output: GoldenArray;
  readonly removed: readonly (GoldenArray & { readonly removed: readonly string[] })[];
}

/** Examples of a fixture, and what transformers makes of all of them, one after the other. */
export interface EncoderGolden {
  readonly examples: readonly Example[];
  readonly output: Float32Array;
  readonly removed: readonly {
    readonly removed: readonly string[];
    readonly output: Float32Array;
  }[];
}

export function encoderGolden(name: string): EncoderGolden {
  return goldenIn(encoderFixture(name));
}

export function seq2seqGolden(name: string): EncoderGolden {
  return goldenIn(seq2seqFixture(name));
}

function goldenIn(folder: string): EncoderGolden {
  const golden = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8')) as StoredGolden;
  const floats = ({ file }: GoldenArray): Float32Array => {
    const bytes = readFileSync(join(folder, file));
    return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  };
  const getRow = (input: StoredInput, row: number): ExampleValue => {
    const [batch = 1, ...rest] = input.shape;
    const dims = [1, ...rest];
    if ('values' in input) {
      const size = input.values.length / batch;
      const values = input.values.slice(row * size, (row + 1) * size);
      return { dtype: 'I64', dims, data: BigInt64Array.from(values, BigInt) };
    }
    const all = floats(input);
    const size = all.length / batch;
    return { dtype: 'F32', dims, data: all.slice(row * size, (row + 1) * size) };
  };
  const [batch = 1] = golden.output.shape;
  const examples = Array.from({ length: batch }, (_, row) =>
    Object.fromEntries(
      Object.entries(golden.inputs).map(([input, stored]) => [input, getRow(stored, row)]),
    ),
  );
  return {
    examples,
    output: floats(golden.output),
    removed: golden.removed.map((one) => ({ removed: one.removed, output: floats(one) })),
  };
}

/** Output of a folder or a model for each example with the sublayers of `removed` skipped, one after the other. */
export async function encoderOutput(
  source: string | LayeredModel,
  examples: readonly Example[],
  removed: readonly string[] = [],
): Promise<Float32Array> {
  const model = typeof source === 'string' ? await openModel(source) : source;
  const executor = new LayeredExecutor(model, 'cpu', 1 << 30, { asItStands: true });
  try {
    const results: number[] = [];
    for (const example of examples) {
      let state = await executor.embed(example);
      for (const [index, { id }] of model.summary.sublayers.entries()) {
        [state = state] = removed.includes(id)
          ? await executor.skip(index, [state])
          : await executor.run(index, [state]);
      }
      results.push(...floatsIn(await executor.output(state)));
    }
    return Float32Array.from(results);
  } finally {
    await executor.dispose();
  }
}
