import { Tensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../extension/core/runtime/session';
import { floatOutput, int32Scalar } from '../../../extension/core/runtime/tensors';
import { emitDropout, stepKey } from '../../../extension/core/training/dropout';

const size = 200_000;

/** Mask of the kept values of `size` ones in two layers. */
async function masks(rate: number, key: number): Promise<[Float32Array, Float32Array]> {
  const graph = new GraphBuilder('dropout');
  const x = graph.input('x', DataType.FLOAT, ['rows', 10]);
  const input = graph.input('key', DataType.INT32, []);
  for (const layer of [0, 1]) {
    const y = emitDropout(graph, x, rate, input, layer);
    graph.output(`y${layer}`, y, DataType.FLOAT, ['rows', 10]);
  }
  const session = await createSession(graph, { device: 'cpu', prepack: false });
  const ones = new Tensor('float32', new Float32Array(size).fill(1), [size / 10, 10]);
  const outputs = await session.run({ x: ones, key: int32Scalar(key) });
  await session.release();
  return [floatOutput(outputs, 'y0'), floatOutput(outputs, 'y1')];
}

const share = (mask: Float32Array): number => mask.filter((value) => value > 0).length / size;

/** Share of places at which both are kept or both are dropped. */
const agreement = (a: Float32Array, b: Float32Array): number =>
  a.filter((value, i) => value > 0 === (b[i] ?? 0) > 0).length / size;

it('keeps the share it should, scaled, and repeats itself', async () => {
  for (const rate of [0.1, 0.5, 0.9]) {
    const [first, second] = await masks(rate, stepKey(7, 3));
    // Five standard deviations.
    const spread = 5 * Math.sqrt((rate * (1 - rate)) / size);
    expect(Math.abs(share(first) - (1 - rate))).toBeLessThan(spread);
    expect(Math.abs(share(second) - (1 - rate))).toBeLessThan(spread);
    const remaining = [...new Set(first)].sort((a, b) => a - b);
    expect(remaining).toHaveLength(2);
    expect(remaining[1]).toBeCloseTo(1 / (1 - rate), 6);
    expect((await masks(rate, stepKey(7, 3)))[0]).toEqual(first);
  }
});

it('draws independently in each layer, step and seed, and for neighbors', async () => {
  const [first, otherLayer] = await masks(0.5, stepKey(7, 3));
  const [otherStep] = await masks(0.5, stepKey(7, 4));
  const [otherSeed] = await masks(0.5, stepKey(8, 3));
  const shifted = Float32Array.from(first, (_, i) => first[(i + 1) % size] ?? 0);
  const row = Float32Array.from(first, (_, i) => first[(i + 10) % size] ?? 0);
  for (const other of [otherLayer, otherStep, otherSeed, shifted, row]) {
    expect(Math.abs(agreement(first, other) - 0.5)).toBeLessThan(5 * Math.sqrt(0.25 / size));
  }
});
