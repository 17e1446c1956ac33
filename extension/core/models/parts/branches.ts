import type { ModelFolder } from '../../checkpoints/model-folder';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import type {
  Architecture,
  Biases,
  OwnHeads,
  Projection,
  Scales,
} from '../transformer/architecture';
import type { AttentionShape, AttentionWeights } from './attention';
import { activations } from './feedforward';
import type { LatentShape } from './latent-heads';
import type { Linear } from './linear';
import type { Norm } from './norm';
import type { RelativeShape } from './relative-scores';
import type { FeedforwardShape, FeedforwardWeights } from './feedforward';
import type { ModelConfig } from '../transformer/model-config';
import type { TensorFinder } from '../transformer/tensor-finder';
import { say } from '../../message';

/** The fields of config.json that branches are made by. */
type BranchConfig = Pick<
  ModelConfig,
  | 'hidden_size'
  | 'num_attention_heads'
  | 'num_key_value_heads'
  | 'head_dim'
  | 'hidden_act'
  | 'rms_norm_eps'
>;

/** What a family's branches are, by name. */
type Branches = Pick<Architecture, 'attention' | 'feedforward' | 'norm' | 'config'>;

/**
 * Sizes of the branches.
 * @throws UserError naming the config field at fault.
 */
export function readShapes(
  architecture: Branches,
  config: BranchConfig,
  folder: ModelFolder,
  scales: Partial<Scales>,
  { clamped, latent, relative, hashes }: OwnShapes = {},
): { attention: AttentionShape; feedforward: FeedforwardShape } {
  const shape = readHeads(config, folder, architecture);
  if (
    architecture.feedforward.curve === undefined &&
    !Object.hasOwn(activations, config.hidden_act)
  ) {
    throw new UserError(
      say`Activation "${config.hidden_act}" is not supported, only ${Object.keys(activations).join(', ')}.`,
      {
        file: folder.config,
        field: architecture.config?.names?.['hidden_act'] ?? 'hidden_act',
        remedy: say`Export the model to ONNX and open that.`,
      },
    );
  }
  const { hiddenSize, headDim } = shape;
  const queryDim = latent === undefined ? headDim : latent.plainDim + latent.turnedDim;
  const norm = { kind: architecture.norm, epsilon: config.rms_norm_eps };
  const attention: AttentionShape = {
    ...shape,
    valueDim: headDim,
    latent: undefined,
    ...latentSizes(latent),
    norm,
    scale: scales.attention ?? queryDim ** -0.5,
    softCap: scales.attentionSoftCap,
    residualScale: (scales.residual ?? 1) * (scales.attentionBranch ?? 1),
    queryKeyNormsOver: architecture.attention.queryKeyNorms?.over ?? 'head',
    turnsFirst: architecture.attention.queryKeyNorms?.afterRotary ?? false,
    clip: scales.clip,
    gatesInQuery: architecture.attention.gatesInQuery ?? false,
    fusedOrder: fusedOrder(architecture.attention.queryKeyValue),
    hashes,
    relative,
    gateActivation: architecture.attention.gateActivation ?? 'sigmoid',
    gateIsByHead: architecture.attention.gateIsByHead ?? false,
  };
  const feedforward: FeedforwardShape = {
    hiddenSize,
    norm,
    residualScale: (scales.residual ?? 1) * (scales.feedforwardBranch ?? 1),
    gateScale: scales.gate ?? 1,
    activation: config.hidden_act,
    gated: isGated(architecture),
    takesTurns: architecture.feedforward.takesTurns ?? false,
    upFirst: architecture.feedforward.upFirst ?? false,
    clamped,
  };
  return { attention, feedforward };
}

/** Shapes that few families have. */
interface OwnShapes {
  readonly clamped?: FeedforwardShape['clamped'];
  readonly latent?: LatentShape | undefined;
  readonly relative?: RelativeShape | undefined;
  readonly hashes?: number | undefined;
}

/** Heads are as wide as keys; each has a key and a value of its own. */
function latentSizes(latent: LatentShape | undefined): Partial<AttentionShape> {
  return latent === undefined
    ? {}
    : { latent, headDim: latent.plainDim + latent.turnedDim, valueDim: latent.valueDim };
}

function readHeads(
  config: BranchConfig,
  folder: ModelFolder,
  architecture: Branches,
): Pick<AttentionShape, 'hiddenSize' | 'numHeads' | 'numKeyValueHeads' | 'headDim'> {
  const { hidden_size: hiddenSize, num_attention_heads: numHeads } = config;
  const headDim = config.head_dim ?? hiddenSize / numHeads;
  const numKeyValueHeads = config.num_key_value_heads ?? numHeads;
  if (!Number.isInteger(headDim) || !Number.isInteger(numHeads / numKeyValueHeads)) {
    throw new UserError(
      say`${numHeads} heads cannot share a hidden size of ${hiddenSize} and ${numKeyValueHeads} key/value heads evenly.`,
      {
        file: folder.config,
        field: architecture.config?.names?.['num_attention_heads'] ?? 'num_attention_heads',
        remedy: say`Correct the field: the weights cannot be divided otherwise.`,
      },
    );
  }
  return { hiddenSize, numHeads, numKeyValueHeads, headDim };
}

function fusedOrder(projection: Projection): AttentionShape['fusedOrder'] {
  return projection.kind === 'fused' ? projection.order : undefined;
}

function isGated({ feedforward: { gateUp } }: Branches): boolean {
  return gateUp.kind === 'fused' || gateUp.names.length === 2;
}

/** The heads of an attention that keeps so many key/value heads. */
export function ownHeads(
  { numHeads, numKeyValueHeads, headDim, valueDim, scale }: AttentionShape,
  groups = numKeyValueHeads,
): OwnHeads {
  return {
    numHeads: (numHeads / numKeyValueHeads) * groups,
    numKeyValueHeads: groups,
    ...{ headDim, valueDim, scale },
  };
}

/** Whether heads are those of all attentions. */
export function isSame(heads: OwnHeads, shape: AttentionShape): boolean {
  return (Object.keys(heads) as (keyof OwnHeads)[]).every((size) => heads[size] === shape[size]);
}

/** Weights of the attention of the block whose tensors begin with `prefix`. */
export function findAttention(
  names: Architecture['attention'],
  biases: Biases,
  tensors: TensorFinder,
  prefix: string,
  shape: AttentionShape,
  keysOf?: { readonly block: number; readonly prefix: string },
): AttentionWeights {
  const { queryKeyNorms, output, innerNorm, sinks, gate, addedBiases } = names;
  const { outputBias, normsValues, difference } = names;
  const { hiddenSize, numHeads, numKeyValueHeads, headDim, valueDim, gateIsByHead } = shape;
  const gateRows = gateIsByHead ? numHeads : numHeads * headDim;
  const queryKeyNorm = (name: string, heads: number): Norm => {
    switch (queryKeyNorms?.over ?? 'head') {
      case 'head':
        return tensors.norm(`${prefix}${name}`, headDim);
      case 'each-head':
        return tensors.headNorm(`${prefix}${name}`, heads, headDim);
      case 'projection':
        return tensors.norm(`${prefix}${name}`, heads * headDim);
    }
  };
  return {
    ...tensors.branch(prefix, names, hiddenSize),
    ...findQueryKeyValue(names, biases, tensors, prefix, shape, keysOf),
    ...(normsValues === true ? { normsValues } : {}),
    output: withBias(
      tensors.linear(`${prefix}${output}`, hiddenSize, numHeads * valueDim, biases.attentionOutput),
      outputBias === undefined
        ? undefined
        : tensors.takeIfPresent(`${prefix}${outputBias}`, [hiddenSize]),
    ),
    ...(queryKeyNorms === undefined
      ? {}
      : {
          queryKeyNorms:
            queryKeyNorms.plain === true
              ? { query: {}, key: {} }
              : {
                  query: queryKeyNorm(queryKeyNorms.query, numHeads),
                  ...(keysOf === undefined
                    ? { key: queryKeyNorm(queryKeyNorms.key, numKeyValueHeads) }
                    : {}),
                },
        }),
    ...(innerNorm === undefined
      ? {}
      : { innerNorm: tensors.norm(`${prefix}${innerNorm}`, numHeads * headDim) }),
    ...(addedBiases === undefined
      ? {}
      : {
          addedBiases: {
            query: tensors.take(`${prefix}${addedBiases.query}`, [numHeads * headDim]),
            value: tensors.take(`${prefix}${addedBiases.value}`, [numHeads * headDim]),
          },
        }),
    ...(difference === undefined
      ? {}
      : {
          difference: {
            factors: difference.factors.map((name) => tensors.take(`${prefix}${name}`, [headDim])),
            start: difference.start(blockIn(prefix)),
          },
        }),
    ...(sinks === undefined ? {} : { sinks: tensors.take(`${prefix}${sinks}`, [numHeads]) }),
    ...(gate === undefined
      ? {}
      : { gate: tensors.linear(`${prefix}${gate}`, gateRows, hiddenSize, false) }),
  };
}

/** The number of a block whose tensors begin with `prefix`. */
const blockIn = (prefix: string): number => Number(/(\d+)\.$/.exec(prefix)?.[1]);

const withBias = (linear: Linear, bias: LazyTensor | undefined): Linear =>
  bias === undefined ? linear : { ...linear, bias };

function findQueryKeyValue(
  { norm, queryKeyValue, queryKeyNorms, latent }: Architecture['attention'],
  { queryKeyValue: bias, key = bias }: Biases,
  tensors: TensorFinder,
  prefix: string,
  { hiddenSize, numHeads, numKeyValueHeads, headDim, ...shape }: AttentionShape,
  keysOf: { readonly block: number; readonly prefix: string } | undefined,
): Pick<AttentionWeights, 'queryKeyValue' | 'latentNorms' | 'othersKeys'> {
  const { valueDim: ofValues, latent: sizes, gatesInQuery } = shape;
  if (latent === undefined || sizes === undefined) {
    const queries = gatesInQuery ? 2 * numHeads : numHeads;
    const widths = [queries * headDim, numKeyValueHeads * headDim, numKeyValueHeads * ofValues];
    const biases = [bias, key, bias];
    if (keysOf !== undefined && queryKeyValue.kind === 'separate') {
      const [query = '', ...keyValue] = queryKeyValue.names;
      const projections = (from: string, names: readonly string[], first: number): Linear[] =>
        tensors.projections(
          from,
          { kind: 'separate', names },
          widths.slice(first),
          hiddenSize,
          biases.slice(first),
        );
      return {
        queryKeyValue: projections(prefix, [query], 0),
        othersKeys: {
          block: keysOf.block,
          keyValue: projections(keysOf.prefix, keyValue, 1),
          ...(norm === undefined
            ? {}
            : { norm: tensors.norm(`${keysOf.prefix}${norm}`, hiddenSize) }),
          ...(queryKeyNorms === undefined
            ? {}
            : { keyNorm: tensors.norm(`${keysOf.prefix}${queryKeyNorms.key}`, headDim) }),
        },
      };
    }
    return {
      queryKeyValue: tensors.projections(prefix, queryKeyValue, widths, hiddenSize, biases),
    };
  }
  const { queryRank, keyValueRank, plainDim, turnedDim, valueDim } = sizes;
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
      linear(latent.keyValueDown, keyValueRank + turnedDim, hiddenSize, bias),
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

/** Weights of the feed-forward of the block whose tensors begin with `prefix`. */
export function findFeedforward(
  names: Architecture['feedforward'],
  { feedforward: bias, feedforwardOutput: lastBias = bias }: Biases,
  tensors: TensorFinder,
  prefix: string,
  { hidden, inner }: { readonly hidden: number; readonly inner: number },
): FeedforwardWeights {
  const { gateUp, down, innerNorm, curve } = names;
  return {
    ...tensors.branch(prefix, names, hidden),
    gateUp: tensors.projections(prefix, gateUp, [inner, inner], hidden, [bias, bias]),
    down: tensors.linear(`${prefix}${down}`, hidden, inner, lastBias),
    ...(innerNorm === undefined ? {} : { innerNorm: tensors.norm(`${prefix}${innerNorm}`, inner) }),
    ...(curve === undefined
      ? {}
      : {
          curve: {
            positive: tensors.take(`${prefix}${curve}.alpha_p`, [1]),
            negative: tensors.take(`${prefix}${curve}.alpha_n`, [1]),
            beta: tensors.take(`${prefix}${curve}.beta`, []),
            epsilon: tensors.take(`${prefix}${curve}.eps`, []),
          },
        }),
  };
}
