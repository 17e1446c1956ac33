import { describe, expect, it } from 'vitest';
import { blockCodecs } from '../../../extension/core/checkpoints/quantize/block-codecs';
import type { BlockType } from '../../../extension/core/checkpoints/quantize/block-codecs';
import {
  joinBlocks,
  splitBlocks,
} from '../../../extension/core/checkpoints/quantize/block-numbers';
import { dequantize } from '../../../extension/core/checkpoints/quantize/dequantize';
import { quantizeRows } from '../../../extension/core/checkpoints/quantize/quantizers';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { floatsIn, floatTensor } from '../../../extension/core/runtime/tensors';
import { BlockModel, isTrainedParameter } from '../../../extension/core/training/block-model';
import { lossInputs, meanSquaredError } from '../../../extension/core/training/losses';
import { Trainer } from '../../../extension/core/training/trainer';
import { correlatedRows, randomRows } from '../tensornet/matrices';

const types = Object.keys(blockCodecs) as BlockType[];
const [out, width, rows] = [4, 512, 64];
const { numbers: original } = randomRows(out, width, 1);
const { numbers: x } = correlatedRows(rows, width, 40, 2);

/** x·Wᵀ */
function outputs(weights: Float32Array): Float32Array {
  const found = new Float32Array(rows * out);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < out; j++) {
      let sum = 0;
      for (let i = 0; i < width; i++) {
        sum += (x[row * width + i] ?? 0) * (weights[j * width + i] ?? 0);
      }
      found[row * out + j] = sum;
    }
  }
  return found;
}

/** A matmul with a weight of this type. */
function matmul(type: BlockType): BlockModel {
  const graph = new GraphBuilder('matmul');
  const input = graph.input('x', DataType.FLOAT, [rows, width]);
  const weight = { name: 'weight', dataType: DataType.FLOAT, shape: [out, width], file: '' };
  const stored = graph.weight({ ...weight, offset: 0, length: 4 * out * width });
  const value = graph.op('Gemm', [input, stored], { transB: 1 });
  const { node: nodes, input: inputs } = graph.graph;
  const { externalData: weights, opsetImports: opsets } = graph;
  const base = { nodes, inputs, outputs: [], constants: [], weights, opsets };
  const numbers = splitBlocks(type, quantizeRows(type, original, width));
  const matrix = { name: 'weight', shape: [out, width], numbers, original };
  return new BlockModel(base, [matrix], { value, shape: [rows, out] });
}

const squares = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, i) => sum + (value - (b[i] ?? 0)) ** 2, 0);

describe.each(types)('training blocks of %s', (type) => {
  it('reduces the distance to the outputs, and the written blocks equal the trained model', async () => {
    const model = matmul(type);
    const targets = outputs(original);
    const batch = {
      x: floatTensor(x, [rows, width]),
      [lossInputs.targets]: floatTensor(targets, [rows, out]),
    };
    const trains = isTrainedParameter(model);
    const trainer = await Trainer.create(model, {
      loss: meanSquaredError,
      optimizer: { kind: 'adam' },
      learningRate: { rate: 0.02, schedule: { kind: 'cosine', steps: 60 } },
      seed: 0,
      trains,
    });
    try {
      const before = floatsIn(await trainer.evaluate(batch)).slice();
      for (let step = 0; step < 60; step++) {
        await trainer.train(batch);
      }
      const after = floatsIn(await trainer.evaluate(batch));
      expect(squares(after, targets)).toBeLessThan(0.9 * squares(before, targets));
      const [matrix] = model.matrices;
      const trained =
        matrix &&
        model.trainedNumbers(matrix, (name) =>
          trains(name) ? floatsIn(trainer.tensor(name)) : undefined,
        );
      const weights = new Float32Array(original.length);
      dequantize(type, trained === undefined ? new Uint8Array() : joinBlocks(trained), weights);
      expect(squares(outputs(weights), after)).toBeLessThan(
        1e-6 * squares(after, new Float32Array()),
      );
    } finally {
      await trainer.dispose();
    }
  });
});
