import { describe, expect, it } from 'vitest';
import { WeightReaders } from '../../../../extension/core/models/onnx/matrices/linear-weights';
import { DataType } from '../../../../extension/core/onnx/graph-builder';
import { graph, rawTensor } from '../../onnx-bytes';

/** Multiplication by the weight in a graph that reads it with an Einsum of this equation. */
function readBy(equation: string): ReturnType<WeightReaders['of']> {
  const text = graph({
    inputs: { x: ['n', 'm', 4] },
    outputs: { y: [] },
    nodes: [['Einsum', ['x', 'w'], ['y'], { equation }]],
    initializers: [rawTensor('w', [4, 4])],
  });
  const readers = new WeightReaders(text, () => undefined);
  return readers.of('w', { dataType: DataType.FLOAT, dims: [4, 4] });
}

describe('an Einsum with a matrix', () => {
  it.each([
    ['abc,cd->abd', true],
    ['abc, dc -> abd', false],
    ['...c,cd->...d', true],
  ])('of %s multiplies rows along their last axis', (equation, transposed) => {
    expect(readBy(equation)).toMatchObject({ transposed, products: [{ input: 'x' }] });
  });

  it.each(['abc,cd->adb', 'abc,bd->acd', 'abc,bc->abc', 'abc,ac->abc', 'abc,cd', 'abc,cc->abc'])(
    'of %s is no product of rows',
    (equation) => {
      expect(readBy(equation)).toBe('Einsum reads it as well');
    },
  );
});
