import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { say } from '../../message';
import { UserError } from '../../user-error';
import type { ModelConfig } from '../transformer/model-config';
import { partTensors, findParts } from '../transformer/part-tensors';
import { maskedScore } from './causal-mask';
import type { MlpSource } from './mlp-part';
import { emitNorm } from './norm';
import type { Norm } from './norm';
import type { Routed } from './routing';
import { emitPieces, emitStored, emitWeight } from './weight';
import type { FindPart, PartNames } from '../transformer/part-tensors';

/** Changes tensors with a row per expert, in one or more pieces along their first axis. */
type MapRows = (pieces: readonly LazyTensor[]) => readonly LazyTensor[];

/** A part that some architectures add to MoE layers. It has its own tensors, and changes values on their way. */
export interface MoePart {
  readonly tensors?: readonly LazyTensor[];
  /** Tensors with a value per expert. */
  readonly byExpert?: readonly LazyTensor[];
  /** Returns the part with other tensors `byExpert`. */
  readonly withRows?: (map: MapRows) => MoePart;
  /** Bias added to the output: [hidden]. */
  readonly sumBias?: LazyTensor;
  /** int64 [vocabulary, perToken]: experts of each token id, if scores don't choose them. */
  readonly table?: LazyTensor;
  /** Changes the input of the router, from the stream before the norm of the branch: [rows, hidden]. */
  readonly routerInput?: (graph: GraphBuilder, stream: Value) => Value;
  /** Changes the input of the experts, but not of the shared one. */
  readonly expertInput?: (graph: GraphBuilder, stream: Value) => Value;
  /** Replaces the choice of experts by their scores [rows, count]. */
  readonly route?: (graph: GraphBuilder, scores: Value, perToken: number) => Routed;
  /** Changes the weights of the chosen experts. */
  readonly shares?: (graph: GraphBuilder, routed: Routed) => Value;
  /** Replaces the product of an expert's output and its weight. */
  readonly weighted?: (
    graph: GraphBuilder,
    rows: Value,
    shares: Value,
    expert: (rows: Value) => Value,
  ) => Value;
  /** Replaces the sum of the outputs of the experts and of the shared one. */
  readonly combined?: (graph: GraphBuilder, experts: Value, shared: Value) => Value;
  /** Changes the output. */
  readonly output?: (graph: GraphBuilder, output: Value) => Value;
}

/** The model and the MoE layer that a part is found for. */
interface MoeSource extends Omit<MlpSource, 'inner'> {
  /** Prefix of the tensors of the MoE module. */
  readonly module: string;
  readonly count: number;
  readonly perToken: number;
  readonly hiddenSize: number;
}

type FindMoePart<Names = object> = FindPart<MoePart, MoeSource, Names>;

interface TableNames {
  /** Tensor with the experts of each token, below the module. */
  readonly name: string;
  readonly appliesTo: (config: ModelConfig, block: number) => boolean;
}

/**
 * Lookup table from tokens to experts, in blocks without score-based routing (DeepSeek-V4).
 * @throws UserError if the table doesn't contain integers
 */
const expertTable: FindMoePart<TableNames> = (
  { name, appliesTo },
  { config, block, module, tensors, perToken },
) => {
  if (!appliesTo(config, block)) {
    return undefined;
  }
  const table = tensors.take(`${module}${name}`, [config.vocab_size, perToken]);
  if (table.dtype !== 'I64' && table.dtype !== 'I32') {
    throw new UserError(
      'expert-table-invalid',
      say`The expert table must contain integers, not ${table.dtype}.`,
      {
        file: table.file,
        field: `${module}${name}`,
        remedy: say`Save the model again with the table as int64.`,
      },
    );
  }
  return { table };
};

/** Emits the experts that a table chooses for ids [batch | 1, sequence, 1], as floats, of `input`: int64 [rows, perToken]. */
export function emitTableChoice(
  graph: GraphBuilder,
  table: LazyTensor,
  input: Value,
  tokens: Value,
): Value {
  const places = graph.op('Slice', [graph.op('Shape', [input]), graph.ints([0]), graph.ints([2])]);
  const size = graph.op('Concat', [places, graph.ints([1])], { axis: 0 });
  const all = graph.op('Reshape', [graph.op('Expand', [tokens, size]), graph.ints([-1])]);
  const ids = graph.op('Cast', [all], { to: DataType.INT64 });
  const chosen = graph.op('Gather', [emitStored(graph, table), ids]);
  return graph.op('Cast', [chosen], { to: DataType.INT64 });
}

/** A factor on the weight of each expert, in a tensor [count] of the module. */
const shareFactors: FindMoePart<string> = (name, { module, tensors, count }) => {
  const withFactors = (byExpert: readonly LazyTensor[]): MoePart => ({
    byExpert,
    withRows: (map) => withFactors(map(byExpert)),
    shares: (graph, { chosen, shares }) =>
      graph.op('Mul', [shares, graph.op('Gather', [emitPieces(graph, byExpert) ?? '', chosen])]),
  });
  return withFactors([tensors.take(`${module}${name}`, [count])]);
};

interface OwnNormNames {
  readonly norm: string;
  /** Tensor [hidden]: factors on the input of the router, after a norm without weights. */
  readonly routerScale: string;
  readonly postNorm: string;
  readonly sharedPostNorm: string;
  /** Modules in transformers that are rebuilt for fewer experts. */
  readonly modules: readonly string[];
  /** Flag in transformers for blocks with experts. */
  readonly flag: string;
}

/** Norms of experts and router; the norm of the branch applies to the shared expert alone (Gemma 4). */
const ownNorms: FindMoePart<OwnNormNames> = (
  names,
  { prefix, tensors, hiddenSize, norm: style },
) => {
  const find = (name: string): Norm => tensors.norm(`${prefix}${name}`, hiddenSize);
  const [norm, postNorm, sharedPostNorm] = [names.norm, names.postNorm, names.sharedPostNorm].map(
    find,
  );
  const routerScale = tensors.take(`${prefix}${names.routerScale}`, [hiddenSize]);
  const normed = (graph: GraphBuilder, x: Value, gain: Norm = {}): Value =>
    emitNorm(graph, style, x, gain);
  return {
    tensors: [...[norm, postNorm, sharedPostNorm].flatMap(partTensors), routerScale],
    routerInput: (graph, stream) => {
      const scaled = graph.op('Mul', [normed(graph, stream), emitWeight(graph, routerScale)]);
      return graph.op('Mul', [scaled, graph.scalar(hiddenSize ** -0.5)]);
    },
    expertInput: (graph, stream) => normed(graph, stream, norm),
    combined: (graph, experts, shared) =>
      graph.op('Add', [normed(graph, shared, sharedPostNorm), normed(graph, experts, postNorm)]),
  };
};

/** A bias [hidden] of the module, added once to the output (Nomic Embed v2). */
const sumBias: FindMoePart<string> = (name, { module, tensors, hiddenSize }) => {
  const bias = tensors.take(`${module}${name}`, [hiddenSize]);
  return { sumBias: bias, output: (graph, x) => graph.op('Add', [x, emitWeight(graph, bias)]) };
};

/** Averages the outputs of the routed and the shared experts, if the config enables it. */
const averagedShared: FindMoePart<(config: ModelConfig) => boolean> = (isAveraged, { config }) =>
  isAveraged(config)
    ? { output: (graph, x) => graph.op('Mul', [x, graph.scalar(0.5)]) }
    : undefined;

/** Weights that scale the input of experts instead of the output (Llama 4). */
const scaledInput: FindMoePart = () => ({
  weighted: (graph, rows, shares, expert) => expert(graph.op('Mul', [rows, shares])),
});

/**
 * Jitter threshold of SparseMixer (arXiv 2310.00811): relative gap below which a score still competes with the best.
 */
const sparseMixer: FindMoePart<(config: ModelConfig) => number> = (jitterOf, { config }) => ({
  route: (graph, scores, perToken) => emitSparseMixer(graph, scores, jitterOf(config), perToken),
});

/**
 * Emits the top experts one after the other. Each is weighted by a softmax over the remaining scores close to the best:
 * for scores s and best b, those with (b − s) / max(|s|, b) ≤ 2 · jitter.
 */
function emitSparseMixer(
  graph: GraphBuilder,
  scores: Value,
  jitter: number,
  perToken: number,
): Routed {
  const none = graph.scalar(maskedScore);
  const size = graph.op('Abs', [scores]);
  const best: { chosen: Value; share: Value }[] = [];
  let left = scores;
  for (let i = 0; i < perToken; i++) {
    const [most = '', chosen = ''] = graph.ops('TopK', [left, graph.ints([1])], 2, { axis: -1 });
    const short = graph.op('Div', [graph.op('Sub', [most, scores]), graph.op('Max', [size, most])]);
    const isFar = graph.op('Greater', [short, graph.scalar(2 * jitter)]);
    const near = graph.op('Where', [isFar, none, left]);
    const weights = graph.op('Softmax', [near], { axis: -1 });
    best.push({ chosen, share: graph.op('GatherElements', [weights, chosen], { axis: -1 }) });
    const lowest = graph.op('Expand', [none, graph.op('Shape', [chosen])]);
    left = graph.op('ScatterElements', [left, chosen, lowest], { axis: -1 });
  }
  const joined = (parts: readonly Value[]): Value => graph.op('Concat', [...parts], { axis: -1 });
  return {
    chosen: joined(best.map(({ chosen }) => chosen)),
    shares: joined(best.map(({ share }) => share)),
  };
}

const finders = {
  averagedShared,
  ownNorms,
  scaledInput,
  shareFactors,
  sparseMixer,
  sumBias,
  table: expertTable,
} satisfies Record<string, FindMoePart<never>>;

/** Parts of MoE layers in the table of an architecture, in order. */
export type MoePartNames = PartNames<typeof finders>;

export const findMoeParts = (names: MoePartNames | undefined, source: MoeSource): MoePart[] =>
  findParts<MoePart, MoeSource, typeof finders>(finders, names, source);
