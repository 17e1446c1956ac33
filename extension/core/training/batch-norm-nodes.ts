import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
} from '../onnx/proto/onnx_pb';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { floatAttribute } from '../models/onnx/node-attributes';
import { emitRunningStatistics, emitScratch } from './batch-norm';
import type { Parameter } from './trainable-model';

/** What ONNX takes where a batch norm does not tell its momentum. */
const defaultMomentum = 0.9;

/**
 * Lets the batch norms of a graph take the statistics of the batch. Gives what their running statistics
 * are after a step; one that several nodes share is moved by the last of them.
 */
export function trainBatchNorms(
  graph: GraphBuilder,
  buffers: readonly Parameter[],
): Readonly<Record<string, Value>> {
  const trained = new Set(buffers.map(({ name }) => name));
  const next: Record<string, Value> = {};
  const nodes = graph.graph.node.filter(
    ({ opType, domain, input }) =>
      opType === 'BatchNormalization' && domain === '' && trained.has(input[3] ?? ''),
  );
  for (const node of nodes) {
    const [x = '', , , mean = '', variance = ''] = node.input;
    const [y = ''] = node.output;
    const momentum = floatAttribute(node, 'momentum', defaultMomentum);
    const old = { mean, variance };
    node.input = [...node.input.slice(0, 3), ...emitScratch(graph, old)];
    const batch = { mean: `${y}/batch_mean`, variance: `${y}/batch_variance` };
    node.output = [y, batch.mean, batch.variance];
    node.attribute = [
      ...node.attribute.filter(({ name }) => name !== 'training_mode' && name !== 'momentum'),
      create(AttributeProtoSchema, { name: 'training_mode', type: AttributeType.INT, i: 1n }),
      create(AttributeProtoSchema, { name: 'momentum', type: AttributeType.FLOAT, f: 0 }),
    ];
    const moved = emitRunningStatistics(graph, x, old, batch, momentum);
    next[mean] = moved.mean;
    next[variance] = moved.variance;
  }
  return next;
}
