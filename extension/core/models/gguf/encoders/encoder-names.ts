import type { GgufHeader } from '../../../checkpoints/gguf';
import { knownEncoder } from '../../encoders/encoder-architectures';
import { withVariant } from '../../encoders/encoder-architecture';
import type { EncoderArchitecture } from '../../encoders/encoder-architecture';
import type { EncoderConfig } from '../../encoders/encoder-config';
import type { Architecture } from '../../transformer/architecture';
import { knownArchitecture } from '../../transformer/architectures';
import { denseStep, poolingsWith } from '../../folder-pooling';
import type { GgufFamily } from '../gguf-traits';
import type { Pooling } from '../../folder-pooling';
import type { GgufKeys } from '../gguf-keys';
import { say } from '../../../message';

type FolderFamily = Pick<GgufFamily, 'modelType' | 'matchingFields'>;

/** The family of folders, an encoder under the fields that a decoder has. */
export function knownInGguf(family: FolderFamily): Architecture | undefined {
  const encoder = folderEncoder(family);
  return encoder === undefined ? knownArchitecture(family.modelType) : asArchitecture(encoder);
}

/** Matching encoder architecture of a folder; undefined for decoders. */
export const folderEncoder = ({
  modelType,
  matchingFields,
}: FolderFamily): EncoderArchitecture | undefined =>
  knownEncoder({ ...matchingFields, model_type: modelType });

/** Norms in checkpoints of BERT's time. */
const olderNames = { 'LayerNorm.weight': 'LayerNorm.gamma', 'LayerNorm.bias': 'LayerNorm.beta' };

/**
 * Text encoder described like a decoder, so that both are written to GGUF by the same code; undefined for other inputs.
 * @param config of one model; without it, properties that depend on it are omitted
 */
export function asArchitecture(
  family: EncoderArchitecture,
  config?: EncoderConfig,
): Architecture | undefined {
  const encoder = config === undefined ? family : withVariant(family, config);
  const { embedding, slidingWindow, finalNorm, slopes, innerSize, experts } = encoder;
  if (embedding.kind !== 'text') {
    return undefined;
  }
  const { words, positions, types, norm: embeddingNorm, positionsSkipPadding = false } = embedding;
  const offset = positionsSkipPadding ? (config?.pad_token_id ?? -1) + 1 : 0;
  // An encoder's config has all required fields of a decoder's.
  const own = (given: unknown): EncoderConfig => given as EncoderConfig;
  return {
    modelType: encoder.modelType,
    config: encoder.config,
    embeddingAndHead: {
      prefixes: [...new Set([encoder.prefix, ''])],
      embedding: words,
      blocks: encoder.blocks,
      heads: [],
      ...(positions === undefined ? {} : { positions: { name: positions, offset } }),
      ...(types === undefined ? {} : { types }),
      ...(embeddingNorm === undefined ? {} : { embeddingNorm }),
      ...(finalNorm === undefined ? {} : { finalNorm }),
    },
    norm: encoder.norm ?? 'layer',
    aliases: olderNames,
    attention: encoder.attention,
    feedforward: encoder.feedforward,
    ...(experts === undefined ? {} : { experts }),
    biases: (given) => encoder.biases(own(given)),
    rotary: encoder.rotary ?? 'none',
    interleavedRotary: encoder.interleavedRotary ?? false,
    ...(slopes === undefined ? {} : { slopes: (given) => slopes(own(given)) }),
    ...(innerSize === undefined ? {} : { innerSize: (given) => innerSize(own(given)) }),
    slidingWindow: (given, block) => slidingWindow?.(own(given), block),
  };
}

/** Pooling mode numbers (`enum llama_pooling_type`). */
export const poolingNumbers = { none: 0, mean: 1, first: 2, last: 3 } as const;

/** Header key of the pooling, below the architecture. */
export const poolingKey = 'pooling_type';

/** Optional linear layers after pooling. */
export const denseModules = ['dense_2', 'dense_3'] as const;

/**
 * `architectures` of config.json for a file's pooling mode; empty without one.
 * @throws UserError for unknown modes and rerankers
 */
export function describePooling(keys: GgufKeys): readonly string[] {
  const asked = keys.numberIfPresent(poolingKey) ?? poolingNumbers.none;
  const pooling = poolingsWith([]).find(({ reads }) => poolingNumbers[reads as Pooling] === asked);
  return asked === poolingNumbers.none
    ? []
    : [
        pooling?.class ??
          keys.fault(
            keys.name(poolingKey),
            'gguf-pooling-unsupported',
            say`Pooling ${asked} is not supported, only none, mean, first and last position.`,
            say`Use the Hugging Face folder of the model.`,
          ),
      ];
}

/**
 * Encoder architecture with the tensor names of a GGUF file instead of those of a Hugging Face folder.
 */
export function encoderInGguf(
  { classes, config, rotary, slidingWindow, modules, slopes, ...encoder }: EncoderArchitecture,
  { modelType, attention, feedforward, experts, norm, biases, embeddingAndHead }: Architecture,
  { tensors }: GgufHeader,
): EncoderArchitecture {
  const { positions, types, embeddingNorm, finalNorm } = embeddingAndHead;
  const has = (name: string): boolean => tensors.some((tensor) => tensor.name === `${name}.weight`);
  const { norm: first, ...withoutNorm } = attention.wiring;
  return {
    ...{ modelType, classes, config, modules, attention, feedforward, norm },
    prefix: '',
    blocks: embeddingAndHead.blocks,
    embedding: {
      kind: 'text',
      words: embeddingAndHead.embedding,
      ...(positions !== undefined && 'name' in positions ? { positions: positions.name } : {}),
      ...(types !== undefined && has(types) ? { types } : {}),
      ...(embeddingNorm === undefined ? {} : { norm: embeddingNorm }),
    },
    ...(first === undefined || has(`${embeddingAndHead.blocks}.0.${first}`)
      ? {}
      : { firstAttention: { ...attention, wiring: withoutNorm } }),
    biases: (given) => biases({ ...given, vocab_size: given.vocab_size ?? 0 }),
    ...(rotary === undefined ? {} : { rotary }),
    ...(slidingWindow === undefined ? {} : { slidingWindow }),
    ...(finalNorm === undefined ? {} : { finalNorm }),
    ...(encoder.scales === undefined ? {} : { scales: encoder.scales }),
    ...(slopes === undefined ? {} : { slopes }),
    ...(experts === undefined ? {} : { experts }),
    interleavedRotary: encoder.interleavedRotary ?? false,
    heads: poolingsWith(denseModules.filter(has).map((name) => denseStep(name))),
  };
}
