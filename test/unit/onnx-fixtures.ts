import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';

const root = join(import.meta.dirname, '../fixtures/onnx');

/** Folders made by make_onnx_fixtures.py. */
export const onnxCases: readonly string[] = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort();

interface StoredArray {
  readonly file: string;
  readonly dtype: 'float32' | 'int64';
  readonly shape: readonly number[];
}

interface OnnxGolden {
  readonly feeds: Record<string, Tensor>;
  readonly logits: Float32Array;
  /** Sublayers removed in torch, and the logits then. */
  readonly removed: { readonly ids: readonly string[]; readonly logits: Float32Array } | undefined;
}

export function onnxFixture(name: string): string {
  return join(root, name, 'model.onnx');
}

export function readOnnxGolden(name: string): OnnxGolden {
  const { removed, ...arrays } = JSON.parse(
    readFileSync(join(root, name, 'golden.json'), 'utf8'),
  ) as Record<string, StoredArray> & { removed?: string[] };
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
    removed: removed && { ids: removed, logits: floats('logits-removed') },
  };
}

export async function logitsOfSession(
  session: InferenceSession,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<Float32Array> {
  const known = session.inputNames.flatMap((name) => {
    const value = feeds[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const { logits } = await session.run(Object.fromEntries(known));
  return logits?.data as Float32Array;
}

function tensor(name: string, { file, dtype, shape }: StoredArray): Tensor {
  const bytes = readFileSync(join(root, name, file));
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  return dtype === 'int64'
    ? new Tensor('int64', new BigInt64Array(buffer), shape)
    : new Tensor('float32', new Float32Array(buffer), shape);
}
