import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TensorData } from '../../../../extension/core/checkpoints/lazy-tensor';
import { emitLookup } from '../../../../extension/core/models/encodings/emit-encoding';
import { encodingSizes } from '../../../../extension/core/models/encodings/encoding-facts';
import { storeEncodings } from '../../../../extension/core/models/encodings/store-encodings';
import type { MatrixEncoding } from '../../../../extension/core/models/matrix-encoding';
import { DataType, GraphBuilder } from '../../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../../extension/core/runtime/session';
import { floatOutput } from '../../../../extension/core/runtime/tensors';
import { relativeError } from '../../fixtures';
import { temporaryFolder } from '../../temporary-folder';
import { contracted, FormMaker } from './made-forms';

const folder = temporaryFolder();
let count = 0;

const ids = [3, 0, 8, 3, 12, 5];

async function lookedUp(form: MatrixEncoding<TensorData>, shape: number[]): Promise<Float32Array> {
  const stored = await storeEncodings(
    join(folder, `${count++}.safetensors`),
    new Map([['t', form]]),
  );
  const graph = new GraphBuilder('rows');
  const tokens = graph.ints(ids, shape);
  const rows = emitLookup(graph, stored.get('t') ?? { kind: 'dense', weight: never() }, tokens);
  graph.output('rows', rows, DataType.FLOAT, [...shape, encodingSizes(form).in]);
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  try {
    return floatOutput(await session.run({}), 'rows');
  } finally {
    await session.release();
  }
}

function never(): never {
  throw new Error('the form has not been stored');
}

describe('rows that are looked up', () => {
  const make = new FormMaker(11);
  const blocks = (input: number, bits: 4 | 8, asymmetric: boolean, run: 'matmul-nbits' | 'qdq') =>
    make.blocks(13, input, { bits, groupSize: 16, run, asymmetric });
  const cases: [string, MatrixEncoding<TensorData>][] = [
    ['4 bits', blocks(48, 4, false, 'matmul-nbits')],
    ['4 bits with zeros', blocks(48, 4, true, 'matmul-nbits')],
    ['4 bits in broken blocks, their number odd', blocks(40, 4, true, 'qdq')],
    ['8 bits', blocks(32, 8, false, 'qdq')],
    ['8 bits with zeros in broken blocks', blocks(24, 8, true, 'matmul-nbits')],
    ['int8 with a scale per row', make.int8(13, 24)],
    ['int8 with scaled inputs', make.int8(13, 24, true)],
    ['float32', make.dense(13, 24)],
    ['float16', make.half(13, 24)],
  ];

  it.each(cases)('in %s equal those of the matrix, for ids of any shape', async (_, form) => {
    const { in: width } = encodingSizes(form);
    const matrix = contracted(form);
    const expected = Float32Array.from(
      ids.flatMap((id) => [...matrix.subarray(id * width, (id + 1) * width)]),
    );
    for (const shape of [[6], [2, 3], [1, 6, 1]]) {
      expect(relativeError(await lookedUp(form, shape), expected)).toBeLessThan(1e-6);
    }
  });
});
