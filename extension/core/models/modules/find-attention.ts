import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { AttentionPart, AttentionSource } from '../parts/attention-part';
import type { Linear } from '../parts/linear';
import type { Norm } from '../parts/norm';
import type { Architecture, Biases, BlockArchitecture } from '../transformer/architecture';
import type { ModelConfig } from '../transformer/model-config';
import type { TensorFinder } from '../transformer/tensor-finder';
import { Attention } from './attention';
import type { AttentionShape, AttentionWeights, Adapter, SharedParts } from './attention-heads';
import { findAttentionParts } from './attention-parts';
import { CompressedAttention, findCompressed } from './compressed-attention';
import { findWiring } from './wiring';
import { linearIfAny } from './sublayer';
import type { AttentionReach, BranchInput, RoledLinear, SpecialSide } from './sublayer';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { Width } from '../width-pruning/width';
import { emitActivation } from '../parts/activations';
import { emitAdapted, sharedPartLinears, emitHeads } from './attention-heads';
import { emitLinear } from '../parts/linear';
import { emitNorm } from '../parts/norm';
import type { SharedNames } from '../shared-modules';

/** A block's attention. */
interface AttentionPlace extends Omit<AttentionReach, 'isCross'> {
  readonly block: number;
  /** Returns the tensor prefix of a block. */
  readonly placeOf: (block: number) => string;
  /** Earlier block whose keys and values it shares. */
  readonly keysBlock: number | undefined;
  readonly surroundings?: Surroundings | undefined;
}

/** Parts of an encoder outside its blocks that attention depends on. */
export type Surroundings = Pick<AttentionSource, 'outside' | 'grid'>;

/** The attention of an architecture's block. */
export function findAnyAttention(
  family: BlockArchitecture,
  config: ModelConfig,
  tensors: TensorFinder,
  { block, placeOf, keysBlock, surroundings, ...reach }: AttentionPlace,
  shape: AttentionShape,
): Attention {
  const { shared, compressed, attention } = family;
  if (shared !== undefined) {
    const weights = findSharedTransformer(shared, config, tensors, placeOf, block, shape);
    return new SharedAttention(block, shape, weights, reach);
  }
  const prefix = placeOf(block);
  const { outside = '', grid } = surroundings ?? {};
  const source = { config, tensors, block, prefix, shape, outside, grid };
  const parts = findAttentionParts(attention.parts, source);
  if (compressed !== undefined) {
    const own = compressed(config, block);
    const weights = { ...findCompressed(own, attention, tensors, prefix, shape), parts };
    return new CompressedAttention(block, shape, weights, reach);
  }
  const keys =
    keysBlock === undefined ? undefined : { block: keysBlock, prefix: placeOf(keysBlock) };
  const biases = family.biases(config);
  const weights = findAttention(attention, biases, tensors, prefix, shape, parts, keys);
  return new Attention(block, shape, weights, reach);
}

/** The attention of a decoder's block to the output of an encoder. */
export function findCrossAttention(
  names: Architecture['attention'],
  biases: Biases,
  tensors: TensorFinder,
  { block, prefix }: { readonly block: number; readonly prefix: string },
  shape: AttentionShape,
): Attention {
  const { queryKeyValue, ...weights } = findAttention(names, biases, tensors, prefix, shape);
  const [query, ...keyValue] = queryKeyValue;
  return new Attention(block, shape, {
    ...weights,
    queryKeyValue: linearIfAny(query),
    othersKeys: { keyValue },
  });
}

/** Attention weights of the block with this tensor prefix. */
function findAttention(
  names: Architecture['attention'],
  biases: Biases,
  tensors: TensorFinder,
  prefix: string,
  shape: AttentionShape,
  parts: readonly AttentionPart[] = [],
  sharedKeys?: { readonly block: number; readonly prefix: string },
): AttentionWeights {
  const { queryKeyNorms, output, outputBias } = names;
  const { hiddenSize, numHeads, valueDim } = shape;
  return {
    ...findWiring(names.wiring, tensors, prefix, hiddenSize),
    ...findQueryKeyValue(names, biases, tensors, prefix, shape, parts, sharedKeys),
    parts,
    output: withBias(
      tensors.linear(`${prefix}${output}`, hiddenSize, numHeads * valueDim, biases.attentionOutput),
      outputBias === undefined
        ? undefined
        : tensors.takeIfPresent(`${prefix}${outputBias}`, [hiddenSize]),
    ),
    ...(queryKeyNorms === undefined
      ? {}
      : {
          queryKeyNorms: findQueryKeyNorms(
            queryKeyNorms,
            tensors,
            prefix,
            shape,
            sharedKeys === undefined,
          ),
        }),
  };
}

/** Norms of queries, and of keys if the sublayer has its own. */
function findQueryKeyNorms(
  names: NonNullable<Architecture['attention']['queryKeyNorms']>,
  tensors: TensorFinder,
  prefix: string,
  { numHeads, numKeyValueHeads, headDim }: AttentionShape,
  ownsKeys: boolean,
): NonNullable<AttentionWeights['queryKeyNorms']> {
  const { query, key, over, afterRotary = false } = names;
  const find = (name: string | undefined, heads: number): Norm => {
    if (name === undefined) {
      return {};
    }
    return over === 'each-head'
      ? tensors.headNorm(`${prefix}${name}`, heads, headDim)
      : tensors.norm(`${prefix}${name}`, over === 'head' ? headDim : heads * headDim);
  };
  return {
    query: find(query, numHeads),
    ...(ownsKeys ? { key: find(key, numKeyValueHeads) } : {}),
    ...{ over, afterRotary },
  };
}

const withBias = (linear: Linear, bias: LazyTensor | undefined): Linear =>
  bias === undefined ? linear : { ...linear, bias };

function findQueryKeyValue(
  { wiring: { norm }, queryKeyValue, queryKeyNorms, latent }: Architecture['attention'],
  { queryKeyValue: bias, key = bias }: Biases,
  tensors: TensorFinder,
  prefix: string,
  { hiddenSize, numHeads, numKeyValueHeads, headDim, ...shape }: AttentionShape,
  parts: readonly AttentionPart[],
  sharedKeys: { readonly block: number; readonly prefix: string } | undefined,
): Pick<AttentionWeights, 'queryKeyValue' | 'latentNorms' | 'othersKeys'> {
  const { valueDim: ofValues, latent: sizes } = shape;
  if (latent === undefined || sizes === undefined) {
    const queries = parts.reduce((rows, { queryRows = 1 }) => rows * queryRows, numHeads);
    const widths = [queries * headDim, numKeyValueHeads * headDim, numKeyValueHeads * ofValues];
    const biases = [bias, key, bias];
    if (sharedKeys !== undefined && !('fused' in queryKeyValue)) {
      const [query = '', ...keyValue] = queryKeyValue;
      const projections = (from: string, names: readonly string[], first: number): Linear[] =>
        tensors.projections(from, names, widths.slice(first), hiddenSize, biases.slice(first));
      return {
        queryKeyValue: projections(prefix, [query], 0),
        othersKeys: {
          block: sharedKeys.block,
          keyValue: projections(sharedKeys.prefix, keyValue, 1),
          ...(norm === undefined
            ? {}
            : { norm: tensors.norm(`${sharedKeys.prefix}${norm}`, hiddenSize) }),
          ...(queryKeyNorms === undefined
            ? {}
            : { keyNorm: tensors.norm(`${sharedKeys.prefix}${queryKeyNorms.key}`, headDim) }),
        },
      };
    }
    return {
      queryKeyValue: tensors.projections(prefix, queryKeyValue, widths, hiddenSize, biases),
    };
  }
  const { queryRank, keyValueRank, plainDim, rotaryDim, valueDim } = sizes;
  const linear = (name: string, out: number, input: number, hasBias = false): Linear =>
    tensors.linear(`${prefix}${name}`, out, input, hasBias);
  const queries =
    queryRank === undefined
      ? [linear(latent.query, numHeads * headDim, hiddenSize)]
      : [
          linear(latent.queryDown, queryRank, hiddenSize, bias),
          linear(latent.queryUp, numHeads * headDim, queryRank),
        ];
  const keysAndValues = (): Linear[] => {
    const { keyUp = '', valueUp = '' } = latent.apart ?? {};
    if (!tensors.has(`${prefix}${keyUp}.weight`)) {
      return [linear(latent.keyValueUp, numHeads * (plainDim + valueDim), keyValueRank)];
    }
    const keys = tensors.take(`${prefix}${keyUp}.weight`, [numHeads, keyValueRank, plainDim]);
    const values = tensors.take(`${prefix}${valueUp}.weight`, [numHeads, valueDim, keyValueRank]);
    return [
      { weight: keys },
      { weight: { ...values, shape: [numHeads * valueDim, keyValueRank] } },
    ];
  };
  return {
    queryKeyValue: [
      ...queries,
      linear(latent.keyValueDown, keyValueRank + rotaryDim, hiddenSize, bias),
      ...keysAndValues(),
    ],
    latentNorms: {
      ...(queryRank === undefined
        ? {}
        : { query: tensors.norm(`${prefix}${latent.queryNorm}`, queryRank) }),
      keyValue: tensors.norm(`${prefix}${latent.keyValueNorm}`, keyValueRank),
    },
  };
}

type SharedWeights = AttentionWeights & { readonly shared: SharedParts };

/** A transformer that several blocks share, over the stream and the embedding side by side (Zamba2, arXiv 2411.15242). */
class SharedAttention extends Attention<SharedWeights> {
  public override get specialSides(): readonly SpecialSide[] {
    return ['embedded'];
  }

  public override get linears(): readonly Linear[] {
    return [
      ...super.linears.slice(0, -1),
      ...sharedPartLinears(this.weights.shared),
      this.weights.output,
    ];
  }

  /** The other layers belong to other blocks too. */
  protected override get roles(): readonly RoledLinear[] {
    return [['output', this.weights.output]];
  }

  protected override get innerNorms(): readonly (Norm | undefined)[] {
    return [this.weights.shared.norm];
  }

  public override mapLinears(map: (linear: Linear) => Linear): this {
    return this.withWeights({ ...this.weights, output: map(this.weights.output) });
  }

  public override get width(): Width | undefined {
    return undefined;
  }

  /** Its norm is that of the stream and the embedding together. */
  protected override emitNormed(_graph: GraphBuilder, x: Value): Value {
    return x;
  }

  protected override emitBranch(
    graph: GraphBuilder,
    x: Value,
    { side, options }: BranchInput,
  ): Value {
    const { hiddenSize, norm } = this.shape;
    const { shared, output } = this.weights;
    const { attended, gateUp, gateUpAdapter, down, activation } = shared;
    const size = graph.op('Shape', [x]);
    const embedded = graph.op('Expand', [side.embedded ?? '', size]);
    const both = graph.op('Concat', [x, embedded], { axis: 2 });
    const input = emitNorm(graph, norm, both, this.weights.norm ?? {});
    const wide = { ...this.shape, hiddenSize: 2 * hiddenSize };
    const heads = emitHeads(graph, wide, this.weights, input, side, options.cache);
    const rows = emitNorm(graph, norm, emitLinear(graph, attended, heads), shared.norm);
    const inner = emitAdapted(graph, gateUp, gateUpAdapter, rows);
    const [gate = '', up = ''] = graph.ops('Split', [inner], 2, { axis: -1 });
    const opened = graph.op('Mul', [emitActivation(graph, activation, gate), up]);
    const given = emitLinear(graph, output, emitLinear(graph, down, opened));
    return graph.op('Reshape', [given, size]);
  }
}

/** Weights of the transformer that `block` uses, whose tensors and other blocks' begin with `placeOf(block)`. */
function findSharedTransformer(
  names: SharedNames,
  config: ModelConfig,
  tensors: TensorFinder,
  placeOf: (block: number) => string,
  block: number,
  { hiddenSize: hidden, numHeads, numKeyValueHeads, headDim }: AttentionShape,
): SharedWeights {
  const { module, users, turns } = names.modules(config);
  const number = users.indexOf(block);
  const own = `${placeOf(users[number % turns] ?? block)}${module}.`;
  const { intermediate_size: inner, mlp_bias: bias } = config;
  const input = 2 * hidden;
  const linear = (name: string, out: number, width: number, hasBias = false): Linear =>
    tensors.linear(`${own}${name}`, out, width, hasBias);
  const adapter = (name: string, out: number, width: number): Adapter => ({
    down: linear(`${name}_adapter_list.${number}.0`, names.rank(config), width),
    up: linear(`${name}_adapter_list.${number}.1`, out, names.rank(config)),
  });
  const widths = [numHeads, numKeyValueHeads, numKeyValueHeads].map((heads) => heads * headDim);
  const heads = ['q', 'k', 'v'].map((name, i) => ({ name, width: widths[i] ?? 0 }));
  return {
    norm: tensors.norm(`${own}input_layernorm`, input),
    queryKeyValue: heads.map(({ name, width }) => linear(`self_attn.${name}_proj`, width, input)),
    shared: {
      adapters: names.adaptsHeads(config)
        ? heads.map(({ name, width }) => adapter(`self_attn.linear_${name}`, width, input))
        : [],
      attended: linear('self_attn.o_proj', hidden, numHeads * headDim),
      norm: tensors.norm(`${own}pre_ff_layernorm`, hidden),
      gateUp: linear('feed_forward.gate_up_proj', 2 * inner, hidden, bias),
      gateUpAdapter: adapter('feed_forward.gate_up_proj', 2 * inner, hidden),
      down: linear('feed_forward.down_proj', hidden, inner, bias),
      activation: config.hidden_act,
    },
    output: tensors.linear(`${placeOf(block)}${names.output}`, hidden, hidden, false),
  };
}
