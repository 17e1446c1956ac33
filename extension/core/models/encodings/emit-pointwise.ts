import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { MatrixEncoding } from '../matrix-encoding';
import { emitWeight } from '../parts/weight';
import { emitEncoding } from './emit-encoding';
import { emitContracted } from './emit-mpo';
import { emitDequantizedBlocks, emitDequantizedOutputs, emitScaledBlocks } from './emit-quantized';
import { encodingSizes } from './encoding-facts';

/** First opset whose Slice has its bounds as inputs. */
const slicedByInputs = 10;
/** First opset whose Reshape can treat 0 as a size. */
const explicitZeros = 14;

/** Applies a function of rows to the last axis of `x` [..., in], for any rank: [..., out]. */
export function emitOverLast(
  graph: GraphBuilder,
  sizes: { readonly out: number; readonly in: number },
  x: Value,
  multiply: (rows: Value) => Value,
): Value {
  const shape = graph.op('Shape', [x]);
  const leading =
    graph.opset < slicedByInputs
      ? graph.op('Slice', [shape], { starts: [0], ends: [-1] })
      : graph.op('Slice', [shape, graph.ints([0]), graph.ints([-1])]);
  const rows = graph.op('Reshape', [x, graph.ints([-1, sizes.in])]);
  const size = graph.op('Concat', [leading, graph.ints([sizes.out])], { axis: 0 });
  const zeros = graph.opset < explicitZeros ? {} : { allowzero: 1 };
  return graph.op('Reshape', [multiply(rows), size], zeros);
}

/**
 * Applies a matrix in any form to every position of `map` [batch, in, …], which has `axes` axes of
 * positions, as a convolution of kernel 1 does: [batch, out, …]. Forms that are matrices when a session
 * is made become kernels. Of products in few bits and operators that run core by core the positions are
 * the rows, between two transposes: there is no MatMulNBits of maps, and ConvInteger of ONNX Runtime 1.30
 * takes 3 to 13 times as long as MatMulInteger and the transposes.
 */
export function emitPointwise(
  graph: GraphBuilder,
  form: MatrixEncoding,
  map: Value,
  axes: number,
): Value {
  if (form.kind === 'low-rank' && isMatrix(form.left) && isMatrix(form.right)) {
    const inner = emitPointwise(graph, form.right, map, axes);
    return emitPointwise(graph, form.left, inner, axes);
  }
  const sizes = encodingSizes(form);
  if (isMatrix(form)) {
    const kernel = graph.ints([sizes.out, sizes.in, ...ones(axes)]);
    return graph.op('Conv', [map, graph.op('Reshape', [emitMatrix(graph, form), kernel])], {
      kernel_shape: ones(axes),
    });
  }
  const positions = ones(axes).map((_, axis) => axis + 2);
  const last = graph.op('Transpose', [map], { perm: [0, ...positions, 1] });
  const product = emitOverLast(graph, sizes, last, (rows) => emitEncoding(graph, form, rows));
  const places = positions.map((axis) => axis - 1);
  return graph.op('Transpose', [product], { perm: [0, axes + 1, ...places] });
}

function ones(count: number): number[] {
  return new Array<number>(count).fill(1);
}

/** Encodings that become a single float matrix when a session is created. */
type MatrixLike = Extract<MatrixEncoding, { kind: 'dense' | 'mpo' | 'group-quantized' | 'int8' }>;

function isMatrix(form: MatrixEncoding): form is MatrixLike {
  switch (form.kind) {
    case 'dense':
      return true;
    case 'low-rank':
      return false;
    case 'mpo':
      return form.run === 'contracted';
    case 'group-quantized':
      return form.run !== 'matmul-nbits';
    case 'int8':
      return form.run === 'basic';
  }
}

/** W [out, in] */
function emitMatrix(graph: GraphBuilder, form: MatrixLike): Value {
  const transposed = (matrix: Value): Value => graph.op('Transpose', [matrix], { perm: [1, 0] });
  switch (form.kind) {
    case 'dense':
      return emitWeight(graph, form.weight);
    case 'mpo':
      return emitContracted(graph, form);
    case 'group-quantized':
      return form.run === 'qdq'
        ? transposed(emitDequantizedBlocks(graph, form))
        : emitScaledBlocks(graph, form);
    case 'int8':
      return emitDequantizedOutputs(graph, form);
  }
}
