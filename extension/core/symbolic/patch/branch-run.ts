import type { Rows } from '../../linear-algebra/matrix-source';
import { DataType } from '../../onnx/graph-builder';
import { createSession } from '../../runtime/session';
import { floatOutput, floatTensor } from '../../runtime/tensors';
import type { Tensors } from '../../runtime/tensors';
import { BuiltModel } from '../../training/built-model';
import { sequential } from '../../training/layers';
import type { Layer } from '../../training/layers';

/** Input name of a branch, float32 [rows, hidden]. */
export const branchInput = 'stream';
const output = 'branch';
/** Rows per run. */
const rowsPerRun = 1 << 12;

/** Model of layers on rows of the residual stream; parameters are initialized from a seed and their names. */
export function branchModel(
  layers: Readonly<Record<string, Layer>>,
  hiddenSize: number,
  seed: number,
): BuiltModel {
  return new BuiltModel(
    { name: branchInput, shape: ['rows', hiddenSize] },
    sequential(layers),
    seed,
  );
}

/** Runs layers on rows of the residual stream. */
export async function runBranch(
  model: BuiltModel,
  tensors: Tensors,
  rows: Rows,
  afterRun: () => Promise<void>,
): Promise<Rows> {
  const { graph, output: given } = model.forward('evaluate');
  graph.output(output, given.value, DataType.FLOAT, given.shape);
  const length = given.shape.at(-1);
  if (typeof length !== 'number') {
    throw new Error('a branch gives rows of a known length');
  }
  const session = await createSession(graph, {
    device: 'cpu',
    prepack: true,
    spin: false,
    threads: 1,
  });
  try {
    const own = Object.fromEntries(
      model.parameters.flatMap(({ name }) => {
        const tensor = tensors[name];
        return tensor === undefined ? [] : [[name, tensor]];
      }),
    );
    const numbers = new Float32Array(rows.count * length);
    for (let start = 0; start < rows.count; start += rowsPerRun) {
      const count = Math.min(rowsPerRun, rows.count - start);
      const part = rows.numbers.subarray(start * rows.length, (start + count) * rows.length);
      const feeds = { ...own, [branchInput]: floatTensor(part, [count, rows.length]) };
      numbers.set(floatOutput(await session.run(feeds), output), start * length);
      await afterRun();
    }
    return { count: rows.count, length, numbers };
  } finally {
    await session.release();
  }
}
