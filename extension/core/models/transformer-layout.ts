import type { Checkpoint, LazyTensor } from '../checkpoints/lazy-tensor';
import { UserError } from '../user-error';
import type { Architecture, Projection, Scales } from './architecture';
import type { AttentionShape, AttentionWeights } from './attention';
import { activations } from './feedforward';
import type { FeedforwardShape, FeedforwardWeights } from './feedforward';
import type { Linear } from './linear';
import type { ModelConfig } from './model-config';
import type { ModelFolder } from '../checkpoints/model-folder';
import type { Branch, Norm } from './norm';
import { configOfLayerType, readRotary } from './rotary';
import type { Rotary } from './rotary';

/** One sublayer with its weights found and checked. */
export type TransformerSublayer =
  | {
      readonly kind: 'attention';
      readonly block: number;
      readonly weights: AttentionWeights;
      readonly slidingWindow: number | undefined;
      /** Key of its rotary embedding in the layout. */
      readonly rotary: string | undefined;
    }
  | { readonly kind: 'feedforward'; readonly block: number; readonly weights: FeedforwardWeights };

/** A decoder-only transformer whose every tensor has been found in the checkpoint. */
export interface TransformerLayout {
  readonly attention: AttentionShape;
  readonly feedforward: FeedforwardShape;
  readonly vocabularySize: number;
  readonly scales: Scales;
  /** Rotary embeddings by the name of their side values. */
  readonly rotaries: ReadonlyMap<string, Rotary>;
  readonly embedding: LazyTensor;
  /** Learned positions, of which row position + offset is added to the embedding. */
  readonly positions: { readonly weight: LazyTensor; readonly offset: number } | undefined;
  readonly finalNorm: Norm;
  readonly head: Linear;
  readonly tiedHead: boolean;
  readonly sublayers: readonly TransformerSublayer[];
  /** Whether a block's feed-forward reads the block's input, beside its attention. */
  readonly parallel: boolean;
  /** What stands before the block's number in the names of its tensors. */
  readonly blocksPrefix: string;
  /** Tensors of the checkpoint that no part of the model uses. */
  readonly unused: readonly string[];
  /** Buffers of the checkpoint that are computed instead. */
  readonly computed: readonly string[];
}

/** Older exports store the frequencies of rotary embeddings and the causal masks. */
const isComputed = (name: string): boolean =>
  /\.(?:rotary_emb\.inv_freq|(?:attn|attention)\.(?:bias|masked_bias))$/.test(name);

/**
 * Finds every tensor that `architecture` needs and checks its shape and dtype.
 * @throws UserError naming the tensor or config field at fault.
 */
export function layOutTransformer(
  architecture: Architecture,
  config: ModelConfig,
  folder: ModelFolder,
  checkpoint: Checkpoint,
): TransformerLayout {
  const shape = readHeads(config, folder, architecture);
  if (!Object.hasOwn(activations, config.hidden_act)) {
    throw new UserError(
      `Activation "${config.hidden_act}" is not known; known are ${Object.keys(activations).join(', ')}.`,
      { file: folder.config, field: architecture.config?.names?.['hidden_act'] ?? 'hidden_act' },
    );
  }
  const { hiddenSize, headDim } = shape;
  const scales: Scales = { ...plainScales, ...architecture.scales?.(config) };
  const norm = { kind: architecture.norm, epsilon: config.rms_norm_eps };
  const attention: AttentionShape = {
    ...shape,
    norm,
    scale: scales.attention ?? headDim ** -0.5,
    softCap: scales.attentionSoftCap,
    residualScale: scales.residual,
    queryKeyNormsOver: architecture.attention.queryKeyNorms?.over ?? 'head',
    fusedOrder: fusedOrder(architecture.attention.queryKeyValue),
  };
  const { outer } = architecture;
  const prefix =
    outer.prefixes.find((one) => checkpoint.tensors.has(`${one}${outer.embedding}.weight`)) ??
    outer.prefixes[0] ??
    '';
  const tensors = new TensorFinder(checkpoint, architecture);
  const embedding = tensors.take(`${prefix}${outer.embedding}.weight`, [
    config.vocab_size,
    hiddenSize,
  ]);
  const head = findHead(architecture, config, tensors, embedding);
  const blocksPrefix = `${prefix}${outer.blocks}.`;
  const removed = new Set(config.espalier?.removed ?? []);
  const interleaved = architecture.interleavedRotary ?? false;
  const rotaries = new Map<string, Rotary>();
  const sublayers: TransformerSublayer[] = [];
  for (let block = 0; block < config.num_hidden_layers; block++) {
    const blockPrefix = `${blocksPrefix}${block}.`;
    const layerType = layerTypeOf(architecture, config, block);
    const rotary = rotaryKey(architecture, layerType);
    if (rotary !== undefined && !rotaries.has(rotary)) {
      const seen = architecture.rotary === 'shared' ? config : configOfLayerType(config, layerType);
      rotaries.set(rotary, readRotary(seen, headDim, interleaved, folder.config));
    }
    if (!removed.has(`block.${block}.attention`)) {
      sublayers.push({
        kind: 'attention',
        block,
        weights: findAttention(architecture, config, tensors, blockPrefix, attention),
        slidingWindow: architecture.slidingWindow(config, block),
        rotary,
      });
    }
    if (!removed.has(`block.${block}.feedforward`)) {
      sublayers.push({
        kind: 'feedforward',
        block,
        weights: findFeedforward(architecture, config, tensors, blockPrefix),
      });
    }
  }
  return {
    attention,
    feedforward: {
      hiddenSize,
      norm,
      residualScale: scales.residual,
      activation: config.hidden_act,
      gated: isGated(architecture),
    },
    vocabularySize: config.vocab_size,
    scales,
    rotaries,
    embedding,
    positions: findPositions(architecture, config, tensors, prefix),
    finalNorm: tensors.norm(`${prefix}${outer.finalNorm}`, hiddenSize),
    head,
    tiedHead: config.tie_word_embeddings,
    sublayers,
    parallel: architecture.parallel ?? false,
    blocksPrefix,
    unused: tensors.unused().filter((name) => !isComputed(name)),
    computed: tensors.unused().filter(isComputed),
  };
}

const plainScales: Scales = {
  embedding: 1,
  residual: 1,
  attention: undefined,
  attentionSoftCap: undefined,
  logits: 1,
  logitSoftCap: undefined,
};

function readHeads(
  config: ModelConfig,
  folder: ModelFolder,
  architecture: Architecture,
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
        remedy: 'Mend the field: the weights cannot be divided otherwise.',
      },
    );
  }
  return { hiddenSize, numHeads, numKeyValueHeads, headDim };
}

function fusedOrder(projection: Projection): AttentionShape['fusedOrder'] {
  return projection.kind === 'fused' ? projection.order : undefined;
}

/** The head under any of its names, or the embedding where it is tied to it. */
function findHead(
  { outer: { heads = ['lm_head'], headBias = false } }: Architecture,
  config: ModelConfig,
  tensors: TensorFinder,
  embedding: LazyTensor,
): Linear {
  const [usual = ''] = heads;
  const name = heads.find((one) => tensors.has(`${one}.weight`)) ?? usual;
  const weight = config.tie_word_embeddings
    ? (tensors.takeIfPresent(`${name}.weight`, embedding.shape) ?? embedding)
    : tensors.take(`${name}.weight`, embedding.shape);
  const [rows = 0] = embedding.shape;
  return { weight, ...(headBias ? { bias: tensors.take(`${name}.bias`, [rows]) } : {}) };
}

function layerTypeOf(architecture: Architecture, config: ModelConfig, block: number): string {
  return (
    config.layer_types?.[block] ??
    architecture.defaultLayerType?.(config, block) ??
    'full_attention'
  );
}

/** Empty where all blocks share one. */
function rotaryKey({ rotary }: Architecture, layerType: string): string | undefined {
  return { shared: '', 'by-layer-type': layerType, none: undefined }[rotary];
}

function isGated({ feedforward: { gateUp } }: Architecture): boolean {
  return gateUp.kind === 'fused' || gateUp.names.length === 2;
}

function findPositions(
  { outer: { positions } }: Architecture,
  config: ModelConfig,
  tensors: TensorFinder,
  prefix: string,
): TransformerLayout['positions'] {
  if (positions === undefined) {
    return undefined;
  }
  const { name, offset } = positions;
  const rows = config.max_position_embeddings + offset;
  return { weight: tensors.take(`${prefix}${name}.weight`, [rows, config.hidden_size]), offset };
}

function findAttention(
  architecture: Architecture,
  config: ModelConfig,
  tensors: TensorFinder,
  prefix: string,
  shape: AttentionShape,
): AttentionWeights {
  const { queryKeyValue, output, queryKeyNorms } = architecture.attention;
  const biases = architecture.biases(config);
  const { hiddenSize, numHeads, numKeyValueHeads, headDim } = shape;
  const widths = [numHeads, numKeyValueHeads, numKeyValueHeads].map((heads) => heads * headDim);
  const normShape = (heads: number): number[] =>
    ({ head: [headDim], 'each-head': [heads, headDim], projection: [heads * headDim] })[
      queryKeyNorms?.over ?? 'head'
    ];
  return {
    ...tensors.branch(prefix, architecture.attention, hiddenSize),
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
          queryKeyNorms: {
            query: tensors.norm(`${prefix}${queryKeyNorms.query}`, ...normShape(numHeads)),
            key: tensors.norm(`${prefix}${queryKeyNorms.key}`, ...normShape(numKeyValueHeads)),
          },
        }),
  };
}

function findFeedforward(
  architecture: Architecture,
  config: ModelConfig,
  tensors: TensorFinder,
  prefix: string,
): FeedforwardWeights {
  const { gateUp, down } = architecture.feedforward;
  const bias = architecture.biases(config).feedforward;
  const { hidden_size: hidden, intermediate_size: inner } = config;
  return {
    ...tensors.branch(prefix, architecture.feedforward, hidden),
    gateUp: tensors.projections(prefix, gateUp, [inner, inner], hidden, bias),
    down: tensors.linear(`${prefix}${down}`, hidden, inner, bias),
  };
}

/** Looks tensors up, checks them, and remembers which were never asked for. */
class TensorFinder {
  private readonly left: Set<string>;

  public constructor(
    private readonly checkpoint: Checkpoint,
    private readonly architecture: Pick<Architecture, 'norm' | 'transposed'>,
  ) {
    this.left = new Set(checkpoint.tensors.keys());
  }

  public has(name: string): boolean {
    return this.checkpoint.tensors.has(name);
  }

  public take(name: string, shape: readonly number[]): LazyTensor {
    const found = this.takeIfPresent(name, shape);
    if (found === undefined) {
      throw new UserError('The checkpoint lacks this tensor.', {
        file: this.checkpoint.entry,
        field: name,
        remedy: 'Weights and configuration do not belong together: download the model again.',
      });
    }
    return found;
  }

  public takeIfPresent(name: string, shape: readonly number[]): LazyTensor | undefined {
    const tensor = this.checkpoint.tensors.get(name);
    if (tensor === undefined) {
      return undefined;
    }
    this.left.delete(name);
    if (tensor.shape.join() !== shape.join()) {
      throw new UserError(
        `Its shape is [${tensor.shape.join(', ')}], but the configuration asks for [${shape.join(', ')}].`,
        {
          file: tensor.file,
          field: name,
          remedy: 'Weights and configuration do not belong together: download the model again.',
        },
      );
    }
    return tensor;
  }

  public linear(name: string, out: number, input: number, bias: boolean): Linear {
    const transposed = this.architecture.transposed ?? false;
    const weight = this.take(`${name}.weight`, transposed ? [input, out] : [out, input]);
    return {
      weight,
      ...(bias ? { bias: this.take(`${name}.bias`, [out]) } : {}),
      ...(transposed ? { transposed } : {}),
    };
  }

  public norm(name: string, ...shape: readonly number[]): Norm {
    const weight = this.take(`${name}.weight`, shape);
    return this.architecture.norm === 'layer'
      ? { weight, bias: this.take(`${name}.bias`, shape) }
      : { weight };
  }

  /** The norms of a branch. */
  public branch(
    prefix: string,
    { norm, postNorm }: { readonly norm?: string; readonly postNorm?: string },
    width: number,
  ): Branch {
    return {
      ...(norm === undefined ? {} : { norm: this.norm(`${prefix}${norm}`, width) }),
      ...(postNorm === undefined ? {} : { postNorm: this.norm(`${prefix}${postNorm}`, width) }),
    };
  }

  public projections(
    prefix: string,
    projection: Projection,
    widths: readonly number[],
    input: number,
    bias: boolean,
  ): Linear[] {
    if (projection.kind === 'fused') {
      const out = widths.reduce((sum, width) => sum + width, 0);
      return [this.linear(`${prefix}${projection.name}`, out, input, bias)];
    }
    return projection.names.map((name, i) =>
      this.linear(`${prefix}${name}`, widths[i] ?? 0, input, bias),
    );
  }

  public unused(): string[] {
    return [...this.left];
  }
}
