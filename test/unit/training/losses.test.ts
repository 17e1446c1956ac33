import { expect, it } from 'vitest';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../extension/core/runtime/session';
import { backward } from '../../../extension/core/training/backward';
import {
  binaryCrossEntropy,
  crossEntropy,
  distillation,
  lossInputs,
  meanSquaredError,
  relativeSquaredError,
} from '../../../extension/core/training/losses';
import type { Loss } from '../../../extension/core/training/losses';
import { seededRandom } from '../../../extension/core/data/random';
import {
  floatsIn,
  floatTensor,
  int64Tensor,
  outputTensor,
} from '../../../extension/core/runtime/tensors';
import type { Tensor, Tensors } from '../../../extension/core/runtime/tensors';
import { below, difference, readGolden } from './golden';

const losses: Readonly<Record<string, Loss>> = {
  'cross-entropy': crossEntropy({ ignore: -1 }),
  binary: binaryCrossEntropy,
  squared: meanSquaredError,
};

it.each(Object.entries(losses))('%s equals PyTorch, value and gradient', async (name, loss) => {
  const golden = await readGolden('losses');
  const graph = new GraphBuilder('loss');
  const shape = ['batch', 'sequence', 6];
  const logits = graph.input('logits', DataType.FLOAT, shape);
  const value = loss(graph, { value: logits, shape });
  graph.output('loss', value, DataType.FLOAT, []);
  const gradient = backward(graph, value, [logits]).get(logits) ?? '';
  graph.output('gradient', gradient, DataType.FLOAT, shape);
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  const inputs = below(golden, 'input/');
  const feeds = session.inputNames.flatMap((input) => {
    const tensor = inputs[input];
    return tensor === undefined ? [] : [[input, tensor] as const];
  });
  const outputs = await session.run(Object.fromEntries(feeds));
  for (const part of ['loss', 'gradient']) {
    const expected = golden[`${part}/${name}`];
    expect(expected).toBeDefined();
    if (expected !== undefined) {
      expect(difference(outputTensor(outputs, part), expected, 1e-6), part).toBeLessThan(3e-6);
    }
  }
  await session.release();
});

/** A session that gives the loss and its gradient by logits of `rows` tokens and 6 ids. */
async function distilling(): Promise<
  (logits: Tensor, ids: Tensor, known: Tensor) => Promise<Tensors>
> {
  const graph = new GraphBuilder('loss');
  const shape = ['batch', 'sequence', 6];
  const logits = graph.input('logits', DataType.FLOAT, shape);
  const value = distillation(graph, { value: logits, shape });
  graph.output('loss', value, DataType.FLOAT, []);
  const gradient = backward(graph, value, [logits]).get(logits) ?? '';
  graph.output('gradient', gradient, DataType.FLOAT, shape);
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  return async (given, ids, known) => {
    const feeds = { logits: given, [lossInputs.teacherIds]: ids, [lossInputs.teacher]: known };
    const outputs = await session.run(feeds);
    return { loss: outputTensor(outputs, 'loss'), gradient: outputTensor(outputs, 'gradient') };
  };
}

const softmax = (logits: ArrayLike<number>): number[] => {
  const exponentials = Array.from(logits, Math.exp);
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
};

/** The `count` most likely ids of each row of six logits, and their probabilities with the rest's. */
function likeliest(logits: Float32Array, count: number) {
  const rows = Array.from({ length: logits.length / 6 }, (_, row) => {
    const all = softmax(logits.subarray(6 * row, 6 * row + 6));
    const ids = [...all.keys()].sort((a, b) => (all[b] ?? 0) - (all[a] ?? 0)).slice(0, count);
    const known = ids.map((id) => all[id] ?? 0);
    const rest = [...all.keys()].filter((id) => !ids.includes(id));
    return { ids, known: [...known, rest.reduce((sum, id) => sum + (all[id] ?? 0), 0)] };
  });
  return rows;
}

/** T² · KL(softmax(t / T) ‖ softmax(z / T)), as PyTorch has it for T = 2.5. */
it('distillation from all ids equals PyTorch, value and gradient', async () => {
  const golden = await readGolden('losses');
  const { logits, teacher_logits: teacher } = below(golden, 'input/');
  const [z, t] = [logits, teacher].map((tensor) =>
    floatsIn(tensor ?? floatTensor(new Float32Array(), [0])),
  );
  const [temperature, dims] = [2.5, logits?.dims ?? []];
  const rows = likeliest(
    Float32Array.from(t ?? [], (value) => value / temperature),
    6,
  );
  const leadingDims = dims.slice(0, -1);
  const distil = await distilling();
  const { loss, gradient } = await distil(
    floatTensor(
      Float32Array.from(z ?? [], (value) => value / temperature),
      dims,
    ),
    int64Tensor(
      rows.flatMap(({ ids }) => ids),
      [...leadingDims, 6],
    ),
    floatTensor(Float32Array.from(rows.flatMap(({ known }) => known)), [...leadingDims, 7]),
  );
  const scaled = (tensor: Tensor, by: number): Tensor =>
    floatTensor(
      floatsIn(tensor).map((value) => value * by),
      tensor.dims,
    );
  for (const [part, found, factor] of [
    ['loss', loss, temperature ** 2],
    ['gradient', gradient, temperature],
  ] as const) {
    const expected = golden[`${part}/distillation`];
    expect(expected).toBeDefined();
    if (found !== undefined && expected !== undefined) {
      expect(difference(scaled(found, factor), expected, 1e-6), part).toBeLessThan(3e-6);
    }
  }
});

it.each([1, 3, 5])('distillation from %i ids has one term for all others', async (count) => {
  const random = seededRandom(count);
  const draw = (): Float32Array => Float32Array.from({ length: 12 }, () => 4 * random() - 2);
  const [z, rows] = [draw(), likeliest(draw(), count)];
  const distil = await distilling();
  const ids = int64Tensor(
    rows.flatMap((row) => row.ids),
    [1, 2, count],
  );
  const known = floatTensor(Float32Array.from(rows.flatMap((row) => row.known)), [1, 2, count + 1]);
  const { loss, gradient } = await distil(floatTensor(z, [1, 2, 6]), ids, known);
  /** In double precision. */
  const lossAt = (logits: ArrayLike<number>): number => {
    const terms = rows.map((row, at) => {
      const student = softmax(Array.from(logits).slice(6 * at, 6 * at + 6));
      const own = row.ids.map((id) => student[id] ?? 0);
      const rest = student.reduce((sum, value, id) => sum + (row.ids.includes(id) ? 0 : value), 0);
      return [...own, rest].reduce((sum, q, i) => {
        const p = row.known[i] ?? 0;
        return sum + p * Math.log(p / q);
      }, 0);
    });
    return terms.reduce((sum, term) => sum + term, 0) / rows.length;
  };
  expect(floatsIn(loss ?? none())[0]).toBeCloseTo(lossAt(z), 6);
  const step = 1e-5;
  const slopes = Array.from(z, (_, i) => {
    const moved = (by: number): number[] => Array.from(z, (value, k) => value + (k === i ? by : 0));
    return (lossAt(moved(step)) - lossAt(moved(-step))) / (2 * step);
  });
  floatsIn(gradient ?? none()).forEach((found, i) => {
    expect(found).toBeCloseTo(slopes[i] ?? Number.NaN, 6);
  });
});

function none(): never {
  throw new Error('the loss gave nothing');
}

it('a batch without counted tokens has no loss and no gradient', async () => {
  const graph = new GraphBuilder('loss');
  const logits = graph.input('logits', DataType.FLOAT, [2, 3]);
  const value = crossEntropy()(graph, { value: logits, shape: [2, 3] });
  graph.output('loss', value, DataType.FLOAT, []);
  graph.output(
    'gradient',
    backward(graph, value, [logits]).get(logits) ?? '',
    DataType.FLOAT,
    [2, 3],
  );
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  const { Tensor } = await import('onnxruntime-node');
  const outputs = await session.run({
    logits: new Tensor('float32', Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]),
    labels: new Tensor('int64', BigInt64Array.of(-100n, -100n), [2]),
  });
  expect(Array.from(outputTensor(outputs, 'loss').data as Float32Array, Math.abs)).toEqual([0]);
  expect(Array.from(outputTensor(outputs, 'gradient').data as Float32Array, Math.abs)).toEqual([
    0, 0, 0, 0, 0, 0,
  ]);
  await session.release();
});

it('the relative error of a row does not depend on its norm', async () => {
  const graph = new GraphBuilder('loss');
  const output = graph.input('output', DataType.FLOAT, [2, 2]);
  const value = relativeSquaredError(graph, { value: output, shape: [2, 2] });
  graph.output('loss', value, DataType.FLOAT, []);
  const gradient = backward(graph, value, [output]).get(output) ?? '';
  graph.output('gradient', gradient, DataType.FLOAT, [2, 2]);
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  const { Tensor } = await import('onnxruntime-node');
  // Differences (1, 1) of (3, 4) and (0, 1000) of (3000, 4000).
  const outputs = await session.run({
    output: new Tensor('float32', Float32Array.of(4, 5, 3000, 5000), [2, 2]),
    targets: new Tensor('float32', Float32Array.of(3, 4, 3000, 4000), [2, 2]),
  });
  const [loss] = outputTensor(outputs, 'loss').data as Float32Array;
  expect(loss).toBeCloseTo((2 / 25 + 1 / 25) / 2, 6);
  // 2 (ŷ − y) / ‖y‖² / rows
  const gradients = Array.from(outputTensor(outputs, 'gradient').data as Float32Array);
  [0.04, 0.04, 0, 4e-5].forEach((expected, i) => {
    expect(gradients[i]).toBeCloseTo(expected, 7);
  });
  await session.release();
});
