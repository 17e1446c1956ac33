import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';
import { expect } from 'vitest';
import type { LayeredModel } from '../../extension/core/models/layered-model';
import type { Example } from '../../extension/core/models/model-input';
import { LayeredExecutor } from '../../extension/core/runtime/layered-executor';

const root = join(import.meta.dirname, '../fixtures/onnx');

/** Folders made by make_onnx_fixtures.py. */
export const onnxCases: readonly string[] = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort();

interface StoredArray {
  readonly file: string;
  readonly dtype: 'float32' | 'int32' | 'int64' | 'bool';
  readonly shape: readonly number[];
}

interface OnnxGolden {
  readonly feeds: Record<string, Tensor>;
  readonly logits: Float32Array;
  /** Sublayers removed in torch, and the logits then. */
  readonly removed: { readonly ids: readonly string[]; readonly logits: Float32Array } | undefined;
  /** The first step of a merged graph, which runs without a cache: what differs in its feeds, and its logits. */
  readonly first:
    | {
        readonly feeds: Record<string, Tensor>;
        readonly logits: Float32Array;
        readonly removedLogits: Float32Array;
      }
    | undefined;
  /** Largest error, relative to the largest logit, that rounding in half or quantized graphs makes. */
  readonly tolerance: number;
}

export function onnxFixture(name: string): string {
  return join(root, name, 'model.onnx');
}

export function readOnnxGolden(name: string): OnnxGolden {
  const { removed, tolerance, first, ...arrays } = JSON.parse(
    readFileSync(join(root, name, 'golden.json'), 'utf8'),
  ) as Record<string, StoredArray> & {
    removed?: string[];
    tolerance?: number;
    first?: Record<string, StoredArray>;
  };
  const feeds: Record<string, Tensor> = {};
  for (const [key, array] of Object.entries(arrays)) {
    if (!key.startsWith('logits') && key !== 'checker') {
      feeds[key] = tensor(name, array);
    }
  }
  const floats = (key: string): Float32Array => {
    const array = arrays[key];
    return array === undefined ? new Float32Array() : (tensor(name, array).data as Float32Array);
  };
  return {
    feeds,
    logits: floats('logits'),
    tolerance: tolerance ?? 2e-5,
    first: first && {
      feeds: Object.fromEntries(
        Object.entries(first).map(([key, array]) => [key, tensor(name, array)]),
      ),
      logits: floats('logits-first'),
      removedLogits: floats('logits-first-removed'),
    },
    removed: removed && { ids: removed, logits: floats('logits-removed') },
  };
}

export async function sessionLogits(
  session: InferenceSession,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<Float32Array> {
  const known = session.inputNames.flatMap((name) => {
    const value = feeds[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const results = await session.run(Object.fromEntries(known));
  return results[session.outputNames[0] ?? '']?.data as Float32Array;
}

function tensor(name: string, { file, dtype, shape }: StoredArray): Tensor {
  const bytes = readFileSync(join(root, name, file));
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  switch (dtype) {
    case 'int32':
      return new Tensor('int32', new Int32Array(buffer), shape);
    case 'int64':
      return new Tensor('int64', new BigInt64Array(buffer), shape);
    case 'bool':
      return new Tensor('bool', new Uint8Array(buffer), shape);
    default:
      return new Tensor('float32', new Float32Array(buffer), shape);
  }
}

const dtypes: Readonly<Record<string, string>> = { int32: 'I32', int64: 'I64', bool: 'BOOL' };

/** Feeds of a session as an example. */
export function makeExample(feeds: Readonly<Record<string, Tensor>>): Example {
  return Object.fromEntries(
    Object.entries(feeds).map(([input, { type, dims, data }]) => [
      input,
      { dtype: dtypes[type] ?? 'F32', dims, data: data as Float32Array },
    ]),
  );
}

/** The inputs of a fixture's golden run, of the first step where there is one, as an example. */
export function graphExample(name: string): Example {
  const { feeds, first } = readOnnxGolden(name);
  return makeExample({ ...feeds, ...first?.feeds });
}

/** Logits of a graph that runs sublayer by sublayer, without some of its units. */
export async function logitsWithoutUnits(
  model: LayeredModel,
  example: Example,
  ids: readonly string[],
): Promise<Float32Array> {
  const executor = new LayeredExecutor(model, 'cpu', 1 << 30);
  try {
    const removed = new Set(ids.flatMap((id) => executor.units.numberOf(id) ?? []));
    expect(removed.size).toBe(ids.length);
    let state = await executor.embed(example);
    for (const index of model.summary.sublayers.keys()) {
      [state = state] = await executor.pass(index, [state], removed);
    }
    return await executor.logits(state);
  } finally {
    await executor.dispose();
  }
}
