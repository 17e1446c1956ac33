import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import { UserError } from '../../user-error';
import type { Linear } from '../parts/linear';
import type { Norm } from '../parts/norm';
import type { TensorFinder } from '../transformer/tensor-finder';
import { findAudioEmbedding } from './audio-embedding';
import type { AudioEmbedding } from './audio-embedding';
import type { EncoderArchitecture } from './encoder-architecture';
import { sides } from './encoder-config';
import type { EncoderConfig } from './encoder-config';
import { say } from '../../message';

/** Layers that turn the inputs into the first hidden states, with their weights. */
export type EncoderEmbedding =
  | AudioEmbedding
  | {
      readonly kind: 'text';
      readonly words: Linear;
      /** Factor on the words. */
      readonly scale: number;
      /** Visual embeddings appended to the words, and the projection of both. */
      readonly joined:
        | { readonly tables: readonly LazyTensor[]; readonly projection: Linear }
        | undefined;
      readonly hiddenBy: number | undefined;
      /** Undefined for rotary embeddings. */
      readonly positions: LazyTensor | undefined;
      readonly positionOffset: number;
      /** Segment embeddings, if the family has them. */
      readonly types: LazyTensor | undefined;
      /** First rows of tables for inputs that text doesn't have. */
      readonly firstRows: readonly LazyTensor[];
      /** Projection to the hidden size, with its input norm. */
      readonly projection: { readonly linear: Linear; readonly norm: Norm | undefined } | undefined;
      /** Id of the padding that positions pass over, counting on from it; undefined: all from 0. */
      readonly padding: number | undefined;
    }
  | {
      readonly kind: 'image';
      /** [hidden, channels, height, width] of a patch. */
      readonly patches: Linear;
      readonly tokens: readonly LazyTensor[];
      readonly positions: LazyTensor | undefined;
      /** [1, count, hidden] */
      readonly registers: LazyTensor | undefined;
      /** Stride of patches, in rows and columns. */
      readonly strides: readonly [height: number, width: number];
      /** Rows and columns of patches. */
      readonly grid: readonly [height: number, width: number];
      /** [channels, height, width] */
      readonly image: readonly [number, number, number];
      /** True if the input has a time axis before the frequency axis, and no channel axis. */
      readonly isSpectrogram: boolean;
    };

/** An embedding, and its norm, which is the first of the residual stream. */
interface FoundEmbedding {
  readonly embedding: EncoderEmbedding;
  readonly startNorms: Norm[];
}

/**
 * Finds the tensors of a family's embedding below `prefix`.
 * @throws UserError naming the tensor or config field at fault.
 */
export function findEmbedding(
  { embedding, scales }: EncoderArchitecture,
  config: EncoderConfig,
  folder: ModelFolder,
  tensors: TensorFinder,
  prefix: string,
): FoundEmbedding {
  const { hidden_size: hidden } = config;
  if (embedding.kind === 'text') {
    const { embedding: scale = 1 } = scales?.(config) ?? {};
    return findTextEmbedding({ ...embedding, scale }, config, folder, tensors, prefix);
  }
  if (embedding.kind === 'audio') {
    return findAudioEmbedding(embedding, config, folder, tensors, prefix);
  }
  const [height, width] = sides(config.image_size);
  const [patchHeight, patchWidth] = sides(config.patch_size);
  const { num_channels: channels } = config;
  const strides = embedding.strides?.(config) ?? ([patchHeight, patchWidth] as const);
  const grid = [
    Math.trunc((height - patchHeight) / strides[0]) + 1,
    Math.trunc((width - patchWidth) / strides[1]) + 1,
  ] as const;
  const { tokens, positions, patchBias = true, isFlat = false, registers, norm } = embedding;
  const count = grid[0] * grid[1] + tokens.length;
  const patches = `${prefix}${embedding.patches}`;
  const found: EncoderEmbedding = {
    kind: 'image',
    patches: {
      weight: tensors.take(`${patches}.weight`, [hidden, channels, patchHeight, patchWidth]),
      ...(patchBias ? { bias: tensors.take(`${patches}.bias`, [hidden]) } : {}),
    },
    tokens: tokens.map((name) =>
      tensors.take(`${prefix}${name}`, isFlat ? [hidden] : [1, 1, hidden]),
    ),
    positions:
      positions === undefined
        ? undefined
        : tensors.take(`${prefix}${positions}`, isFlat ? [count, hidden] : [1, count, hidden]),
    registers:
      registers === undefined || config.num_register_tokens === 0
        ? undefined
        : tensors.take(`${prefix}${registers}`, [1, config.num_register_tokens, hidden]),
    strides,
    grid,
    image: [channels, height, width],
    isSpectrogram: embedding.isSpectrogram ?? false,
  };
  const startNorms = norm === undefined ? [] : [tensors.norm(`${prefix}${norm}`, hidden)];
  return { embedding: found, startNorms };
}

function findTextEmbedding(
  names: Extract<EncoderArchitecture['embedding'], { kind: 'text' }> & { readonly scale: number },
  config: EncoderConfig,
  folder: ModelFolder,
  tensors: TensorFinder,
  prefix: string,
): FoundEmbedding {
  const { hidden_size: hidden, embedding_size: own, type_vocab_size: segments } = config;
  const width = names.projection === undefined ? hidden : (own ?? hidden);
  const at = (name: string): string => `${prefix}${name}`;
  const table = (name: string, rows: number): LazyTensor =>
    tensors.take(`${at(name)}.weight`, [rows, width]);
  const { positions, positionOffset = 0, types, firstRows = [], projection } = names;
  const isProjected = projection !== undefined && (projection.always === true || width !== hidden);
  const normsFirst = isProjected && projection.beforeNorm !== true;
  const norm =
    names.norm === undefined
      ? undefined
      : tensors.norm(at(names.norm), normsFirst ? width : hidden);
  const vocabulary = required(config.vocab_size, 'vocab_size', folder);
  const embedding: EncoderEmbedding = {
    kind: 'text',
    words: tensors.embeddingAndHead('embedding', at(names.words), vocabulary, width),
    scale: names.scale,
    joined: findJoined(names, config, tensors, at, hidden),
    hiddenBy: names.hiddenBy?.(config),
    positions:
      positions === undefined
        ? undefined
        : table(positions, config.max_position_embeddings + positionOffset),
    positionOffset,
    types: types === undefined || segments === 0 ? undefined : table(types, segments),
    firstRows: firstRows.map((name) => tensors.table(at(name))),
    projection: isProjected
      ? {
          linear: tensors.linear(at(projection.name), hidden, width, projection.bias),
          norm: normsFirst ? norm : undefined,
        }
      : undefined,
    padding:
      names.positionsSkipPadding === true
        ? required(config.pad_token_id ?? undefined, 'pad_token_id', folder)
        : undefined,
  };
  return { embedding, startNorms: norm === undefined || normsFirst ? [] : [norm] };
}

function findJoined(
  { joined }: Extract<EncoderArchitecture['embedding'], { kind: 'text' }>,
  config: EncoderConfig,
  tensors: TensorFinder,
  at: (name: string) => string,
  hidden: number,
): Extract<EncoderEmbedding, { kind: 'text' }>['joined'] {
  if (joined === undefined) {
    return undefined;
  }
  const tables = joined.tables(config).map((name) => tensors.table(at(name)));
  const width = tables.reduce((sum, { shape }) => sum + (shape[1] ?? 0), hidden);
  return { tables, projection: tensors.linear(at(joined.projection), hidden, width, true) };
}

function required(value: number | undefined, field: string, folder: ModelFolder): number {
  if (value === undefined) {
    throw new UserError('field-missing', say`The field is missing.`, {
      file: folder.config,
      field,
      remedy: say`Correct the field: the model can't run without it.`,
    });
  }
  return value;
}

/** Number of tokens before the patches. */
export function tokensBeforePatches({
  tokens,
  registers,
}: Extract<EncoderEmbedding, { kind: 'image' }>): number {
  return tokens.length + (registers?.shape[1] ?? 0);
}
