import { DataType, GraphBuilder } from '../onnx/graph-builder';
import type { ExternalData, GraphBase, Value } from '../onnx/graph-builder';
import { stream } from '../models/model-emitter';
import type { LayeredModel } from '../models/layered-model';
import { UserError } from '../user-error';
import { adaptable, createAdapter, withAdapters, AdaptedModel } from './adapters';
import type { AdaptableMatrix, AdapterOptions } from './adapters';
import { backwardFrom } from './backward';
import { BlockModel } from './block-model';
import type { BlockMatrix } from './block-model';
import { GraphModel } from './graph-model';
import type { TrainableWeight } from './graph-model';
import type { ShapedValue } from './losses';
import { say } from '../message';

/** Trainable storage types; quantized weights are stored as bytes or parts of bytes. */
const floats: readonly number[] = [DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16];

const sizes = ['batch', 'sequence'] as const;
/**
 * Language model of a checkpoint as a trainable model. Inputs are input_ids, attention_mask and position_ids, int64
 * [batch, sequence]; the output is logits [batch, sequence, vocabulary]. Parameters have the checkpoint's tensor names;
 * a matrix that is used twice is one parameter.
 * @param trained names of the tensors to train; all by default
 * @throws UserError if the model is an ONNX graph, or its weights are quantized
 */
export function trainableTransformer(
  model: LayeredModel,
  trained?: ReadonlySet<string>,
): GraphModel {
  const { base, output } = transformerGraph(model);
  return new GraphModel(base, trainedWeights(model, base, trained), output);
}

/** Names of the matrices that can have adapters: the model uses each in one matmul and nowhere else. */
export const adaptableMatrices = (model: LayeredModel): ReadonlySet<string> =>
  adaptable(transformerGraph(model).base);

/** Names of the residual stream after each sublayer, at which the model's graph can be cut. */
export const sublayerOutputs = (model: LayeredModel): readonly Value[] =>
  transformerGraph(model).streams;

/**
 * Language model as in {@link trainableTransformer}, with adapters of some matrices in addition to trained tensors.
 * @param matrices some of {@link adaptableMatrices}
 */
export function adaptedTransformer(
  model: LayeredModel,
  trained: ReadonlySet<string>,
  matrices: readonly AdaptableMatrix[],
  options: AdapterOptions & { readonly seed: number },
): AdaptedModel {
  const { base, output } = transformerGraph(model);
  const adapters = matrices.map((matrix) => createAdapter(matrix, options));
  const weights = trainedWeights(model, base, trained);
  return new AdaptedModel(
    new GraphModel(withAdapters(base, adapters), weights, output),
    adapters,
    options.seed,
  );
}

/** Language model as in {@link trainableTransformer} whose matrices are stored in quantization blocks. */
export function blockTransformer(
  model: LayeredModel,
  matrices: readonly BlockMatrix[],
): BlockModel {
  const { base, output } = transformerGraph(model);
  return new BlockModel(base, matrices, output);
}

/** Names of the values of {@link fisherGraph}. */
export const fisherValues = { draws: 'draws', gradients: 'gradients' } as const;

/**
 * Graph of the gradients of the log-likelihood of tokens with respect to the embedded tokens, [batch, sequence, hidden].
 * The tokens are sampled from the model's predictions by the input `draws`, uniform numbers [batch, sequence, 1], so that
 * the Gram matrix of the gradients is the Fisher information: the Hessian of the KL of changed embeddings.
 * @throws UserError if an operator has no gradient, or as {@link trainableTransformer}
 */
export function fisherGraph(model: LayeredModel): GraphBuilder {
  const { base, output, embedded } = transformerGraph(model);
  const graph = GraphBuilder.over('fisher', base);
  const probabilities = graph.op('Softmax', [output.value], { axis: -1 });
  const draws = graph.input(fisherValues.draws, DataType.FLOAT, [...sizes, 1]);
  const sums = graph.op('CumSum', [probabilities, graph.ints([-1], [])]);
  const isLower = graph.op('Cast', [graph.op('Less', [sums, draws])], { to: DataType.INT64 });
  const last = graph.ints([(output.shape.at(-1) as number) - 1], []);
  const ids = graph.op('Min', [graph.reduce('ReduceSum', isLower, [-1], 1), last]);
  const own = graph.op('GatherElements', [probabilities, ids], { axis: -1 });
  const rest = graph.op('Sub', [own, graph.scalar(1)]);
  const gradient = graph.op('ScatterElements', [probabilities, ids, rest], { axis: -1 });
  const found = backwardFrom(graph, new Map([[output.value, gradient]]), [embedded]);
  graph.output(fisherValues.gradients, found.get(embedded) ?? '', DataType.FLOAT);
  return graph;
}

/** Weights of a model's graph. */
export const graphWeights = (model: LayeredModel): readonly ExternalData[] =>
  transformerGraph(model).base.weights;

function trainedWeights(
  { summary }: LayeredModel,
  { weights }: GraphBase,
  trained?: ReadonlySet<string>,
): TrainableWeight[] {
  const parameters = weights.filter(({ name }) => trained === undefined || trained.has(name));
  const quantized = parameters.find(({ dataType }) => !floats.includes(dataType));
  if (quantized !== undefined) {
    throw new UserError('weights-quantized', say`Quantized weights cannot be trained.`, {
      file: summary.path,
      field: quantized.name,
      remedy: say`Use the original weights in float32, float16 or bfloat16.`,
    });
  }
  return parameters.map(({ name, shape }) => ({ name, shape, isBuffer: false }));
}

function transformerGraph(model: LayeredModel): {
  base: GraphBase;
  output: ShapedValue;
  /** Residual stream before the first sublayer. */
  embedded: Value;
  streams: readonly Value[];
} {
  const { emitter, summary } = model;
  if (emitter === undefined) {
    throw new UserError('model-is-onnx', say`The model is already an ONNX graph.`, {
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
  const streams: Value[] = [];
  const state = summary.sublayers.reduce((before, _, index) => {
    const after = emitter.emitSublayer(graph, index, before, prologue.side);
    streams.push(after[stream] ?? '');
    return after;
  }, prologue.state);
  const logits = emitter.emitEpilogue(graph, state[stream] ?? '');
  const weights = graph.externalData;
  const names = new Set(weights.map(({ name }) => name));
  const { node: nodes, input: inputs, initializer } = graph.graph;
  const constants = initializer.filter(({ name }) => !names.has(name));
  return {
    base: { nodes, inputs, outputs: [], constants, weights, opsets: graph.opsetImports },
    output: { value: logits, shape: [...sizes, emitter.vocabularySize] },
    embedded: prologue.state[stream] ?? '',
    streams,
  };
}
