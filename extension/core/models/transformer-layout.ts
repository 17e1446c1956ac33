import type { Checkpoint, LazyTensor } from '../checkpoints/lazy-tensor';
import { UserError } from '../user-error';
import type { Architecture } from './architectures';
import type { AttentionShape, AttentionWeights } from './attention';
import { activations } from './feedforward';
import type { FeedforwardShape, FeedforwardWeights } from './feedforward';
import type { Linear } from './linear';
import type { ModelConfig } from './model-config';
import type { ModelFolder } from '../checkpoints/model-folder';
import { readRotary } from './rotary';

/** One sublayer with its weights found and checked. */
export type TransformerSublayer =
  | {
      readonly kind: 'attention';
      readonly block: number;
      readonly weights: AttentionWeights;
      readonly slidingWindow: number | undefined;
    }
  | { readonly kind: 'feedforward'; readonly block: number; readonly weights: FeedforwardWeights };

/** A decoder-only transformer whose every tensor has been found in the checkpoint. */
export interface TransformerLayout {
  readonly attention: AttentionShape;
  readonly feedforward: FeedforwardShape;
  readonly vocabularySize: number;
  readonly embedding: LazyTensor;
  readonly finalNorm: LazyTensor;
  readonly head: Linear;
  readonly tiedHead: boolean;
  readonly sublayers: readonly TransformerSublayer[];
  /** Tensors of the checkpoint that no part of the model uses. */
  readonly unused: readonly string[];
}

/** Names of tensors outside the blocks; all families of the table share them. */
const outerNames = {
  embedding: 'model.embed_tokens.weight',
  finalNorm: 'model.norm.weight',
  head: 'lm_head.weight',
};

/** Prefix of block `block`'s tensors. */
export function blockPrefix(block: number): string {
  return `model.layers.${block}.`;
}

/** Older exports store this buffer, which is computed instead. */
const computedBuffer = '.rotary_emb.inv_freq';

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
  const tensors = new TensorFinder(checkpoint);
  const hiddenSize = config.hidden_size;
  const numHeads = config.num_attention_heads;
  const headDim = config.head_dim ?? architecture.defaults?.headDim ?? hiddenSize / numHeads;
  const numKeyValueHeads =
    config.num_key_value_heads ??
    (config.num_key_value_heads === null ? numHeads : architecture.defaults?.numKeyValueHeads) ??
    numHeads;
  if (!Number.isInteger(headDim) || !Number.isInteger(numHeads / numKeyValueHeads)) {
    throw new UserError(
      `${numHeads} heads cannot share a hidden size of ${hiddenSize} and ${numKeyValueHeads} key/value heads evenly.`,
      { file: folder.config, field: 'num_attention_heads', remedy: 'Mend config.json.' },
    );
  }
  if (!Object.hasOwn(activations, config.hidden_act)) {
    throw new UserError(
      `Activation "${config.hidden_act}" is not known; known are ${Object.keys(activations).join(', ')}.`,
      { file: folder.config, field: 'hidden_act' },
    );
  }
  const attention: AttentionShape = {
    hiddenSize,
    numHeads,
    numKeyValueHeads,
    headDim,
    normEpsilon: config.rms_norm_eps,
    rotary: readRotary(config, headDim, folder.config),
  };
  const embedding = tensors.take(outerNames.embedding, [config.vocab_size, hiddenSize]);
  const finalNorm = tensors.take(outerNames.finalNorm, [hiddenSize]);
  const head = config.tie_word_embeddings
    ? (tensors.takeIfPresent(outerNames.head, embedding.shape) ?? embedding)
    : tensors.take(outerNames.head, embedding.shape);
  const removed = new Set(config.espalier?.removed ?? []);
  const sublayers: TransformerSublayer[] = [];
  for (let block = 0; block < config.num_hidden_layers; block++) {
    if (!removed.has(`block.${block}.attention`)) {
      sublayers.push({
        kind: 'attention',
        block,
        weights: findAttention(architecture, config, tensors, block, attention),
        slidingWindow: architecture.slidingWindow(config, block),
      });
    }
    if (!removed.has(`block.${block}.feedforward`)) {
      sublayers.push({
        kind: 'feedforward',
        block,
        weights: findFeedforward(architecture, config, tensors, block),
      });
    }
  }
  return {
    attention,
    feedforward: { hiddenSize, normEpsilon: config.rms_norm_eps, activation: config.hidden_act },
    vocabularySize: config.vocab_size,
    embedding,
    finalNorm,
    head: { weight: head },
    tiedHead: config.tie_word_embeddings,
    sublayers,
    unused: tensors.unused().filter((name) => !name.endsWith(computedBuffer)),
  };
}

function findAttention(
  architecture: Architecture,
  config: ModelConfig,
  tensors: TensorFinder,
  block: number,
  shape: AttentionShape,
): AttentionWeights {
  const { norm, queryKeyValue, output, headNorms } = architecture.attention;
  const biases = architecture.biases(config);
  const prefix = blockPrefix(block);
  const { hiddenSize, numHeads, numKeyValueHeads, headDim } = shape;
  const widths = [numHeads, numKeyValueHeads, numKeyValueHeads].map((heads) => heads * headDim);
  return {
    norm: tensors.take(`${prefix}${norm}.weight`, [hiddenSize]),
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
    ...(headNorms === undefined
      ? {}
      : {
          headNorms: {
            query: tensors.take(`${prefix}${headNorms.query}.weight`, [headDim]),
            key: tensors.take(`${prefix}${headNorms.key}.weight`, [headDim]),
          },
        }),
  };
}

function findFeedforward(
  architecture: Architecture,
  config: ModelConfig,
  tensors: TensorFinder,
  block: number,
): FeedforwardWeights {
  const { norm, gateUp, down } = architecture.feedforward;
  const bias = architecture.biases(config).feedforward;
  const prefix = blockPrefix(block);
  const { hidden_size: hidden, intermediate_size: inner } = config;
  return {
    norm: tensors.take(`${prefix}${norm}.weight`, [hidden]),
    gateUp: tensors.projections(prefix, gateUp, [inner, inner], hidden, bias),
    down: tensors.linear(`${prefix}${down}`, hidden, inner, bias),
  };
}

/** Looks tensors up, checks them, and remembers which were never asked for. */
class TensorFinder {
  private readonly left: Set<string>;

  public constructor(private readonly checkpoint: Checkpoint) {
    this.left = new Set(checkpoint.tensors.keys());
  }

  public take(name: string, shape: readonly number[]): LazyTensor {
    const found = this.takeIfPresent(name, shape);
    if (found === undefined) {
      throw new UserError('The checkpoint lacks this tensor.', {
        file: this.checkpoint.entry,
        field: name,
        remedy: 'Weights and config.json do not belong together: download the model again.',
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
        `Its shape is [${tensor.shape.join(', ')}], but config.json asks for [${shape.join(', ')}].`,
        {
          file: tensor.file,
          field: name,
          remedy: 'Weights and config.json do not belong together: download the model again.',
        },
      );
    }
    return tensor;
  }

  public linear(name: string, out: number, input: number, bias: boolean): Linear {
    const weight = this.take(`${name}.weight`, [out, input]);
    return bias ? { weight, bias: this.take(`${name}.bias`, [out]) } : { weight };
  }

  public projections(
    prefix: string,
    projection: Architecture['attention']['queryKeyValue'],
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
