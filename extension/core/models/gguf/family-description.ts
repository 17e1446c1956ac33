import * as v from 'valibot';
import { defaultLength } from '../encoders/t5-encoder';
import type { FamilyOf, ModelFamily } from '../model-family';
import { t5Forms, t5Towers, t5Words } from '../seq2seq/t5';
import type { TowerNames } from '../seq2seq/seq2seq-family';
import type { Architecture } from '../transformer/architecture';
import { configEntries } from '../transformer/model-config';
import type { ModelConfig } from '../transformer/model-config';
import { asArchitecture } from './encoders/encoder-names';

/**
 * Family in the terms of a decoder's architecture, so that models of all kinds are written as GGUF by the same code.
 */
export interface FamilyDescription {
  /** Encoder of an encoder–decoder model. */
  readonly architecture: Architecture;
  readonly config: ModelConfig;
  /** Decoder after an encoder. */
  readonly decoder?: Architecture;
}

/** Describes a decoder, an encoder of text, or T5; undefined for other families. */
export function describeFamily(family: ModelFamily): FamilyDescription | undefined {
  switch (family.kind) {
    case 'decoder':
      return family;
    case 'encoder':
      return isT5(family) ? describeT5(family) : describeEncoder(family);
    case 'encoder-decoder':
      return isT5(family) ? describeT5(family) : undefined;
    case 'stages':
    case 'graph':
      return undefined;
  }
}

function describeEncoder({
  architecture: encoder,
  config,
}: FamilyOf<'encoder'>): FamilyDescription | undefined {
  const architecture = asArchitecture(encoder, config);
  const { positions } = architecture?.embeddingAndHead ?? {};
  // The file lacks the rows before that of position 0.
  const before = positions !== undefined && 'name' in positions ? positions.offset : 0;
  return (
    architecture && {
      architecture,
      config: {
        ...config,
        vocab_size: config.vocab_size ?? 0,
        max_position_embeddings: config.max_position_embeddings - before,
      },
    }
  );
}

type T5Family = FamilyOf<'encoder' | 'encoder-decoder'>;

const isT5 = ({ architecture: { modelType } }: T5Family): boolean =>
  t5Forms.some((form) => form.modelType === modelType);

const configSchema = v.looseObject(configEntries);

/** T5 with the names of folders, its sizes under the names that decoders have. */
function describeT5({ kind, architecture, config }: T5Family): FamilyDescription {
  const { encoder, decoder } = t5Towers(config, false);
  const isPair = kind === 'encoder-decoder';
  const describe = ({ prefix, blocks, finalNorm = '', ...tower }: TowerNames): Architecture => ({
    ...tower,
    modelType: architecture.modelType,
    config: architecture.config,
    embeddingAndHead: {
      prefixes: [''],
      embedding: t5Words[0],
      blocks: `${prefix}${blocks}`,
      finalNorm: `${prefix}${finalNorm}`,
      heads: isPair ? ['lm_head'] : [],
    },
    aliases: { [`.${t5Words[0]}.`]: `.${prefix}embed_tokens.` },
    norm: 'rms',
    biases: () => ({ queryKeyValue: false, attentionOutput: false, feedforward: false }),
    rotary: 'none',
    slidingWindow: () => undefined,
  });
  const sizes = isPair
    ? {
        num_hidden_layers: config.encoder_layers,
        num_attention_heads: config.encoder_attention_heads,
        intermediate_size: config.encoder_ffn_dim,
      }
    : {};
  const { n_positions: positions = defaultLength, pad_token_id: padding } = config;
  return {
    architecture: describe(encoder),
    config: v.parse(configSchema, {
      ...config,
      ...sizes,
      max_position_embeddings: config.max_position_embeddings ?? positions,
      decoder_start_token_id: config.decoder_start_token_id ?? padding ?? 0,
    }),
    ...(isPair ? { decoder: describe(decoder) } : {}),
  };
}
