import { DataType, GraphBuilder } from '../onnx/graph-builder';
import { stream } from '../models/model-emitter';
import type { LayeredModel } from '../models/layered-model';
import { UserError } from '../user-error';
import { GraphModel } from './graph-model';
import { say } from '../message';

/** Quantized weights are stored as bytes or parts of them. */
const floats: readonly number[] = [DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16];

const sizes = ['batch', 'sequence'] as const;

/**
 * A language model of a checkpoint as a model that can be trained: inputs input_ids, attention_mask and
 * position_ids, int64 [batch, sequence]; its output are logits [batch, sequence, vocabulary]. Parameters
 * have the names of the checkpoint; a matrix that is used twice is one parameter.
 * @param trained names of the tensors that are parameters; all when absent
 * @throws UserError when the model is a graph already, or its weights are quantized.
 */
export function trainableTransformer(
  model: LayeredModel,
  trained?: ReadonlySet<string>,
): GraphModel {
  const { emitter, summary } = model;
  if (emitter === undefined) {
    throw new UserError(say`The model is an ONNX graph already.`, {
      file: summary.path,
      remedy: say`Open it as an ONNX file for training.`,
    });
  }
  model.requireRunnable();
  const graph = new GraphBuilder(summary.name);
  const input = (name: string) => graph.input(name, DataType.INT64, sizes);
  const prologue = emitter.emitPrologue(graph, {
    inputIds: input('input_ids'),
    attentionMask: input('attention_mask'),
    positionIds: input('position_ids'),
  });
  const state = summary.sublayers.reduce(
    (before, _, index) => emitter.emitSublayer(graph, index, before, prologue.side).state,
    prologue.state,
  );
  const logits = emitter.emitEpilogue(graph, state[stream] ?? '');
  const external = graph.externalData;
  const parameters = external.filter(({ name }) => trained === undefined || trained.has(name));
  const quantized = parameters.find(({ dataType }) => !floats.includes(dataType));
  if (quantized !== undefined) {
    throw new UserError(say`Quantized weights cannot be trained.`, {
      file: summary.path,
      field: quantized.name,
      remedy: say`Use the original weights in float32, float16 or bfloat16.`,
    });
  }
  const { node, input: inputs, initializer } = graph.graph;
  const names = new Set(external.map(({ name }) => name));
  const base = {
    nodes: node,
    inputs,
    outputs: [],
    constants: initializer.filter(({ name }) => !names.has(name)),
    weights: external,
    opsets: graph.opsetImports,
  };
  const weights = parameters.map(({ name, shape }) => ({ name, shape, isBuffer: false }));
  return new GraphModel(base, weights, {
    value: logits,
    shape: [...sizes, emitter.vocabularySize],
  });
}
