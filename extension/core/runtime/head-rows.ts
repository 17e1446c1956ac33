import { isDequantized } from '../checkpoints/ggml-types';
import { readChosenRows } from '../checkpoints/float-rows';
import { hasFloatRows } from '../checkpoints/lazy-tensor';
import type { LazyTensor } from '../checkpoints/lazy-tensor';
import { roundRows } from '../checkpoints/quantize/dequantize';
import { emitRounded } from '../models/encodings/emit-quantized';
import type { HeadOutputs } from '../models/model-emitter';
import { emitOutputs } from '../models/parts/linear';
import { emitWeight } from '../models/parts/weight';
import { DataType } from '../onnx/graph-builder';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import type { LayeredExecutor } from './layered-executor';
import { floatTensor, weightTensor } from './tensors';
import type { Tensors } from './tensors';

/** Rows of the head's matrix for some ids, decoded once and fed to each run. */
export interface HeadRows {
  readonly kind: 'float32' | 'int8';
  /** float32: `table` [count, hidden]; int8: `integers` [hidden, count] and `scales` [count]. */
  readonly feeds: Tensors;
}

/**
 * Decodes the rows `ids` of the head's matrix. A graph that gathers and decodes them would need ten times their float32 size in
 * each run.
 * @param ids ascending
 * @returns undefined if a session reads the rows from the file as they are, or if they can't be read one by one
 */
export async function readHeadRows(
  { model, device, roundsHead }: LayeredExecutor,
  ids: Int32Array,
): Promise<HeadRows | undefined> {
  const [head, ...others] = model.embeddingAndHeadMatrices.filter(({ place }) => place === 'head');
  if (device !== 'cpu' || head === undefined || others.length > 0 || head.encoding !== undefined) {
    return undefined;
  }
  const { weight } = head;
  const [count = 0, columns = 0] = weight.shape;
  if (!canRead(weight) || count !== model.emitter?.vocabularySize) {
    return undefined;
  }
  if (roundsHead) {
    const integers = new Uint8Array(ids.length * columns);
    const shape = { out: ids.length, in: columns };
    const scales = await roundRows(
      shape,
      async (take) => readChosenRows(weight, ids, take),
      integers,
    );
    return {
      kind: 'int8',
      feeds: {
        integers: weightTensor(DataType.INT8, [columns, ids.length], integers),
        scales: floatTensor(scales, [ids.length]),
      },
    };
  }
  if (!isDequantized(weight.dtype)) {
    return undefined;
  }
  const table = new Float32Array(ids.length * columns);
  await readChosenRows(weight, ids, (place, numbers) => {
    table.set(numbers, place * columns);
  });
  return { kind: 'float32', feeds: { table: floatTensor(table, [ids.length, columns]) } };
}

/**
 * True if computing logits for some ids costs a proportional share and gives the same values. A quantized head
 * quantizes its inputs, and a factored head runs whole.
 */
export function gathersLogits({ model }: Pick<LayeredExecutor, 'model'>): boolean {
  const heads = model.embeddingAndHeadMatrices.filter(({ place }) => place === 'head');
  return heads.every(({ encoding }) => encoding === undefined || encoding.kind === 'dense');
}

const canRead = (weight: LazyTensor): boolean =>
  hasFloatRows(weight) &&
  (weight.packed ?? weight.interleavedHeads) === undefined &&
  weight.shape.length === 2;

/**
 * The outputs `ids`, an input of the graph, of a head.
 * @param kind how their rows are fed; gathered from the weights if undefined
 */
export function outputsFor(graph: GraphBuilder, kind: HeadRows['kind'] | undefined): HeadOutputs {
  const ids = graph.input('ids', DataType.INT64, ['count']);
  if (kind === undefined) {
    return (head, rows) => emitOutputs(graph, head, rows, ids);
  }
  const product = kind === 'int8' ? roundedProduct(graph) : floatProduct(graph);
  return ({ bias }, rows) => {
    const own = product(rows);
    return bias === undefined
      ? own
      : graph.op('Add', [own, graph.op('Gather', [emitWeight(graph, bias), ids])]);
  };
}

function floatProduct(graph: GraphBuilder): (rows: Value) => Value {
  const table = graph.input('table', DataType.FLOAT, ['count', 'hidden']);
  return (rows) => graph.op('Gemm', [rows, table], { transB: 1 });
}

function roundedProduct(graph: GraphBuilder): (rows: Value) => Value {
  const integers = graph.input('integers', DataType.INT8, ['hidden', 'count']);
  const scales = graph.input('scales', DataType.FLOAT, ['count']);
  return (rows) => emitRounded(graph, rows, integers, scales);
}
