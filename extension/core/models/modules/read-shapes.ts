import type { ModelFolder } from '../../checkpoints/model-folder';
import { UserError } from '../../user-error';
import { activations } from '../parts/activations';
import type { LatentShape } from '../parts/latent-heads';
import type { Architecture, Projection, Scales } from '../transformer/architecture';
import type { ModelConfig } from '../transformer/model-config';
import { say } from '../../message';
import type { AttentionShape } from './attention-heads';
import type { FeedforwardShape } from './mlp';

/** Fields of config.json that determine the branches. */
type BranchConfig = Pick<
  ModelConfig,
  | 'hidden_size'
  | 'num_attention_heads'
  | 'num_key_value_heads'
  | 'head_dim'
  | 'hidden_act'
  | 'rms_norm_eps'
>;

/** Architecture fields that the shapes depend on. */
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
  latent?: LatentShape,
): { attention: AttentionShape; feedforward: FeedforwardShape } {
  const shape = readHeads(config, folder, architecture);
  if (
    architecture.feedforward.parts?.xielu === undefined &&
    !Object.hasOwn(activations, config.hidden_act)
  ) {
    throw new UserError(
      'activation-unsupported',
      say`Activation "${config.hidden_act}" is not supported, only ${Object.keys(activations).join(', ')}.`,
      {
        file: folder.config,
        field: architecture.config?.names?.['hidden_act'] ?? 'hidden_act',
        remedy: say`Export the model to ONNX and open that.`,
      },
    );
  }
  const { hiddenSize, headDim } = shape;
  const queryDim = latent === undefined ? headDim : latent.plainDim + latent.rotaryDim;
  const norm = { kind: architecture.norm, epsilon: config.rms_norm_eps };
  const attention: AttentionShape = {
    ...shape,
    valueDim: headDim,
    latent: undefined,
    ...latentSizes(latent),
    norm,
    scale: scales.attention ?? queryDim ** -0.5,
    softCap: scales.attentionSoftCap,
    residualScale: scales.residual ?? 1,
    fusedOrder: fusedOrder(architecture.attention.queryKeyValue),
  };
  const feedforward: FeedforwardShape = {
    hiddenSize,
    norm,
    residualScale: scales.residual ?? 1,
    activation: config.hidden_act,
    gated: isGated(architecture),
    gateUpOrder: fusedOrder(architecture.feedforward.gateUp),
  };
  return { attention, feedforward };
}

/** Heads are as wide as keys; each has a key and a value of its own. */
function latentSizes(latent: LatentShape | undefined): Partial<AttentionShape> {
  return latent === undefined
    ? {}
    : { latent, headDim: latent.plainDim + latent.rotaryDim, valueDim: latent.valueDim };
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
      'heads-not-divisible',
      say`A hidden size of ${hiddenSize} and ${numKeyValueHeads} key/value heads can't be divided among ${numHeads} heads evenly.`,
      {
        file: folder.config,
        field: architecture.config?.names?.['num_attention_heads'] ?? 'num_attention_heads',
        remedy: say`Correct the field: the shapes of the weights require it.`,
      },
    );
  }
  return { hiddenSize, numHeads, numKeyValueHeads, headDim };
}

const fusedOrder = <Order extends string>(projection: Projection<Order>): Order | undefined =>
  'fused' in projection ? projection.order : undefined;

function isGated({ feedforward: { gateUp } }: Branches): boolean {
  return 'fused' in gateUp || gateUp.length === 2;
}
