import type { ModelFolder } from '../../checkpoints/model-folder';
import { UserError } from '../../user-error';
import type { Architecture, Biases, Projection, Scales } from '../transformer/architecture';
import type { AttentionShape, AttentionWeights } from './attention';
import { activations } from './feedforward';
import type { FeedforwardShape, FeedforwardWeights } from './feedforward';
import type { ModelConfig } from '../transformer/model-config';
import type { TensorFinder } from '../transformer/tensor-finder';

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
  clamped?: FeedforwardShape['clamped'],
): { attention: AttentionShape; feedforward: FeedforwardShape } {
  const shape = readHeads(config, folder, architecture);
  if (
    architecture.feedforward.curve === undefined &&
    !Object.hasOwn(activations, config.hidden_act)
  ) {
    throw new UserError(
      `Activation "${config.hidden_act}" is not known; known are ${Object.keys(activations).join(', ')}.`,
      { file: folder.config, field: architecture.config?.names?.['hidden_act'] ?? 'hidden_act' },
    );
  }
  const { hiddenSize, headDim } = shape;
  const norm = { kind: architecture.norm, epsilon: config.rms_norm_eps };
  const attention: AttentionShape = {
    ...shape,
    norm,
    scale: scales.attention ?? headDim ** -0.5,
    softCap: scales.attentionSoftCap,
    residualScale: scales.residual ?? 1,
    queryKeyNormsOver: architecture.attention.queryKeyNorms?.over ?? 'head',
    turnsFirst: architecture.attention.queryKeyNorms?.afterRotary ?? false,
    clip: scales.clip,
    fusedOrder: fusedOrder(architecture.attention.queryKeyValue),
  };
  const feedforward: FeedforwardShape = {
    hiddenSize,
    norm,
    residualScale: scales.residual ?? 1,
    activation: config.hidden_act,
    gated: isGated(architecture),
    takesTurns: architecture.feedforward.takesTurns ?? false,
    clamped,
  };
  return { attention, feedforward };
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
      `${numHeads} heads cannot share a hidden size of ${hiddenSize} and ${numKeyValueHeads} key/value heads evenly.`,
      {
        file: folder.config,
        field: architecture.config?.names?.['num_attention_heads'] ?? 'num_attention_heads',
        remedy: 'Correct the field: the weights cannot be divided otherwise.',
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

/** Weights of the attention of the block whose tensors begin with `prefix`. */
export function findAttention(
  names: Architecture['attention'],
  biases: Biases,
  tensors: TensorFinder,
  prefix: string,
  shape: AttentionShape,
): AttentionWeights {
  const { queryKeyValue, output, queryKeyNorms, innerNorm, sinks, gate } = names;
  const { hiddenSize, numHeads, numKeyValueHeads, headDim } = shape;
  const widths = [numHeads, numKeyValueHeads, numKeyValueHeads].map((heads) => heads * headDim);
  const normShape = (heads: number): number[] =>
    ({ head: [headDim], 'each-head': [heads, headDim], projection: [heads * headDim] })[
      queryKeyNorms?.over ?? 'head'
    ];
  return {
    ...tensors.branch(prefix, names, hiddenSize),
    queryKeyValue: tensors.projections(
      prefix,
      queryKeyValue,
      widths,
      hiddenSize,
      biases.queryKeyValue,
    ),
    output: tensors.linear(
      `${prefix}${output}`,
      hiddenSize,
      numHeads * headDim,
      biases.attentionOutput,
    ),
    ...(queryKeyNorms === undefined
      ? {}
      : {
          queryKeyNorms:
            queryKeyNorms.plain === true
              ? { query: {}, key: {} }
              : {
                  query: tensors.norm(`${prefix}${queryKeyNorms.query}`, ...normShape(numHeads)),
                  key: tensors.norm(
                    `${prefix}${queryKeyNorms.key}`,
                    ...normShape(numKeyValueHeads),
                  ),
                },
        }),
    ...(innerNorm === undefined
      ? {}
      : { innerNorm: tensors.norm(`${prefix}${innerNorm}`, numHeads * headDim) }),
    ...(sinks === undefined ? {} : { sinks: tensors.take(`${prefix}${sinks}`, [numHeads]) }),
    ...(gate === undefined
      ? {}
      : { gate: tensors.linear(`${prefix}${gate}`, numHeads * headDim, hiddenSize, false) }),
  };
}

/** Weights of the feed-forward of the block whose tensors begin with `prefix`. */
export function findFeedforward(
  names: Architecture['feedforward'],
  { feedforward: bias }: Biases,
  tensors: TensorFinder,
  prefix: string,
  { hidden, inner }: { readonly hidden: number; readonly inner: number },
): FeedforwardWeights {
  const { gateUp, down, innerNorm, curve } = names;
  return {
    ...tensors.branch(prefix, names, hidden),
    gateUp: tensors.projections(prefix, gateUp, [inner, inner], hidden, bias),
    down: tensors.linear(`${prefix}${down}`, hidden, inner, bias),
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
