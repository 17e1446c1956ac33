/** Messages of onnx.proto that hold tensors, at any depth; all others are copied as they are. */
export type MessageName =
  | 'model'
  | 'graph'
  | 'node'
  | 'attribute'
  | 'function'
  | 'training'
  | 'sparse'
  | 'tensor';

/** Fields that lead to tensors, by number. Field numbers: proto/onnx.proto. */
export const children: Readonly<
  Record<Exclude<MessageName, 'tensor'>, Readonly<Record<number, MessageName>>>
> = {
  model: { 7: 'graph', 20: 'training', 25: 'function' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  function: { 7: 'node', 11: 'attribute' },
  training: { 1: 'graph', 2: 'graph' },
  sparse: { 1: 'tensor', 2: 'tensor' },
};

/** Field numbers of TensorProto. */
export const tensorFields = { docString: 12, rawData: 9, floatData: 4, doubleData: 10 } as const;

/** int32_data, int64_data and uint64_data of TensorProto, whose numbers are of varying length. */
export const varintData: ReadonlySet<number> = new Set([5, 7, 11]);
