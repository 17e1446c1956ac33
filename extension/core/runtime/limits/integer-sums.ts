import { InferenceSession, Tensor } from 'onnxruntime-node';
import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import { outputTensor } from '../tensors';

const [rows, inner, columns] = [4, 64, 16];

let known: Promise<boolean> | undefined;

/**
 * True if sums of uint8 × int8 products are exact on this CPU. Without integer dot products (AVX2
 * and AVX-512 without VNNI), ONNX Runtime saturates sums of pairs at 16 bits unless a session
 * option forbids it. On CPUs with dot products, that option makes matmuls 2.5 times slower.
 */
export async function integerSumsAreWhole(): Promise<boolean> {
  // A session that fails here also fails when it is used, with its own error.
  known ??= multiplyLargest().catch(() => false);
  return known;
}

/** Multiplies the largest numbers of both types once, and looks whether anything is missing. */
async function multiplyLargest(): Promise<boolean> {
  const graph = new GraphBuilder('integer sums');
  const x = graph.input('x', DataType.UINT8, [rows, inner]);
  const largest = new Array<number>(inner * columns).fill(127);
  const weights = graph.op('Cast', [graph.bytes(largest, [inner, columns])], { to: DataType.INT8 });
  graph.output('y', graph.op('MatMulInteger', [x, weights]), DataType.INT32, [rows, columns]);
  const model = graph.toBytes(() => {
    throw new Error('the products have no external weights');
  });
  const session = await InferenceSession.create(model, {
    executionProviders: ['cpu'],
    logSeverityLevel: 3,
    intraOpNumThreads: 1,
  });
  try {
    const inputs = new Uint8Array(rows * inner).fill(255);
    const outputs = await session.run({ x: new Tensor('uint8', inputs, [rows, inner]) });
    const sums = outputTensor(outputs, 'y').data as Int32Array;
    return sums.every((sum) => sum === 255 * 127 * inner);
  } finally {
    await session.release();
  }
}
