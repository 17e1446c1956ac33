import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import { knownEncoder } from '../encoders/encoder-architectures';
import type { EncoderModel } from '../encoders/encoder-model';
import { readEncoder } from '../encoders/open-encoder';
import { poolingsWith } from '../folder-pooling';
import { describePooling } from './encoders/encoder-names';
import { ggufFields, valueLength } from './gguf-fields';
import type { GgufFile } from './gguf-file';
import type { GgufKeys } from './gguf-keys';
import { parseFamily } from '../model-family';
import type { ParsedFamily } from '../model-family';
import { readSeq2Seq } from '../seq2seq/open-seq2seq';
import type { Seq2SeqModel } from '../seq2seq/seq2seq-model';
import { knownSeq2Seq } from '../seq2seq/seq2seq-families';
import { readActivation, t5Towers } from '../seq2seq/t5';
import type { Towers } from '../seq2seq/t5';
import { branchNames } from './gguf-names';
import { blockRoles, renamed } from './gguf-roles';
import type { Roles } from './gguf-roles';
import type { ConfigFields } from '../transformer/model-config';
import { encoderNames } from '../encoders/t5-encoder';
import { farthestInGguf, t5GgufFamilies, t5Keys } from './t5-families';
import type { ModelSummary } from '../model-summary';
import { say } from '../../message';

type BlockCounts = Pick<ModelSummary, 'blocks' | 'encoderBlocks'>;

/** Number of blocks of each tower among `kept` blocks of a model; all are the encoder's if it has no decoder. */
export function towerBlocks(
  { blocks, encoderBlocks = blocks }: BlockCounts,
  kept: readonly number[],
): Record<'encoder' | 'decoder', number> {
  const encoder = kept.filter((block) => block < encoderBlocks).length;
  return { encoder, decoder: kept.length - encoder };
}

const towerRoles: Roles = {
  ...blockRoles,
  finalNorm: ['norm', 'output_norm'],
};

/** The towers under the names of GGUF files. */
function towersInGguf({ encoder, decoder }: Towers): Towers {
  const renameTower = <Tower extends Towers['encoder']>(tower: Tower, prefix: string): Tower => ({
    ...renamed(tower, towerRoles, branchNames(tower, t5GgufFamilies.t5)),
    ...{ prefix, blocks: 'blk' },
  });
  return { encoder: renameTower(encoder, 'enc.'), decoder: renameTower(decoder, 'dec.') };
}

const [words, head] = ['token_embd', 'output'] as const;

/** `general.architecture` of T5, and of its encoder alone (src/models/t5.cpp, t5encoder.cpp). */
const t5InGguf = { both: 't5', encoder: 't5encoder' } as const;

const commonFields = {
  vocab_size: ggufFields.vocab_size,
  hidden_size: ggufFields.hidden_size,
  head_dim: ggufFields.head_dim,
  rms_norm_eps: ggufFields.rms_norm_eps,
} as const;

/** Keys by field of config.json, of a model with both towers and of an encoder. */
const t5Fields = {
  [t5InGguf.both]: {
    ...commonFields,
    ...t5GgufFamilies.t5.fields,
    encoder_layers: ggufFields.num_hidden_layers,
    encoder_attention_heads: ggufFields.num_attention_heads,
    decoder_attention_heads: ggufFields.num_attention_heads,
    encoder_ffn_dim: ggufFields.intermediate_size,
    decoder_ffn_dim: ggufFields.intermediate_size,
  },
  [t5InGguf.encoder]: {
    ...commonFields,
    ...t5GgufFamilies.t5encoder.fields,
    num_hidden_layers: ggufFields.num_hidden_layers,
    num_attention_heads: ggufFields.num_attention_heads,
    intermediate_size: ggufFields.intermediate_size,
    max_position_embeddings: ggufFields.max_position_embeddings,
  },
} as const;

/** Blocks of the encoder, followed by those of the decoder. */
export function t5Blocks(keys: GgufKeys): ReturnType<typeof towerBlocks> {
  const encoder = keys.blockCount();
  return keys.architecture === t5InGguf.encoder
    ? { encoder, decoder: 0 }
    : {
        encoder,
        decoder: keys.has(t5Keys.decoderBlocks) ? keys.blockCount(t5Keys.decoderBlocks) : encoder,
      };
}

/** Widths and fingerprint of a model that differs from its header. */
interface WidthPruned {
  readonly widths: Readonly<Record<string, number>>;
  readonly fingerprint: string;
}

/**
 * The model of a file of T5 or its encoder.
 * @throws UserError naming the key or tensor at fault.
 */
export async function readT5Gguf(
  folder: ModelFolder,
  { header, keys }: GgufFile,
  widthPruned?: WidthPruned,
): Promise<{ readonly model: Seq2SeqModel | EncoderModel; readonly family: ParsedFamily }> {
  const { metadata, tensors: listed, files } = header;
  const tensors = new Map(listed.map((tensor) => [tensor.name, tensor]));
  const checkpoint: Checkpoint = { tensors, files, entry: folder.weights, metadata: {} };
  const has = (name: string): boolean => tensors.has(`${name}.weight`);
  const projection = has('enc.blk.0.ffn_gate') ? 'gated-gelu' : 'relu';
  const biasIsByBlock = has('enc.blk.1.attn_rel_b');
  const named = { model_type: biasIsByBlock ? 'umt5' : 't5' };
  const towers = towersInGguf(t5Towers({ feed_forward_proj: projection }, biasIsByBlock));
  const heads = keys.number(ggufFields.num_attention_heads);
  const headDim =
    keys.numberIfPresent(ggufFields.head_dim) ?? keys.number(ggufFields.hidden_size) / heads;
  requireSame(keys, valueLength, headDim);
  requireSame(keys, ggufFields.num_key_value_heads, heads);
  const isEncoder = keys.architecture === t5InGguf.encoder;
  const fields = Object.entries(t5Fields[isEncoder ? t5InGguf.encoder : t5InGguf.both]);
  const { encoder, decoder } = t5Blocks(keys);
  const found: ConfigFields = {
    vocab_size: tensors.get(`${words}.weight`)?.shape[0] ?? keys.number(ggufFields.vocab_size),
    head_dim: headDim,
    encoder_layers: encoder,
    decoder_layers: decoder,
    decoder_start_token_id: keys.numberIfPresent(t5Keys.start),
  };
  const text = JSON.stringify({
    ...named,
    architectures: describePooling(keys),
    hidden_act: readActivation(projection),
    relative_attention_max_distance: farthestInGguf,
    pad_token_id: metadata.get('tokenizer.ggml.padding_token_id'),
    // The first T5 ties the head to the embedding and was trained with scaled logits; an untied head is not scaled.
    tie_word_embeddings: !isEncoder && !has(head),
    ...(widthPruned === undefined ? {} : { espalier: { removed: [], widths: widthPruned.widths } }),
    ...Object.fromEntries(
      fields.map(([field, key]) => [
        keys.name(key),
        Object.hasOwn(found, field) ? found[field] : keys.number(key),
      ]),
    ),
  });
  const config = {
    names: Object.fromEntries(fields.map(([field, key]) => [field, keys.name(key)])),
  };
  if (isEncoder) {
    const architecture = {
      ...required(knownEncoder(named)),
      ...{ config, form: () => ({}) },
      ...encoderNames(towers.encoder),
      embedding: { kind: 'text', words } as const,
      heads: poolingsWith([]),
    };
    const family = parseFamily({ kind: 'encoder', architecture }, text, folder.config);
    return {
      model: await readEncoder(folder, text, family, checkpoint, widthPruned?.fingerprint),
      family,
    };
  }
  const architecture = {
    ...required(knownSeq2Seq(named)),
    ...{ config, words: [words], head: { name: head }, towers: () => towers },
  };
  const family = parseFamily({ kind: 'encoder-decoder', architecture }, text, folder.config);
  return {
    model: await readSeq2Seq(folder, text, family, checkpoint, widthPruned?.fingerprint),
    family,
  };
}

function required<Known>(known: Known | undefined): Known {
  if (known === undefined) {
    throw new Error('T5 and UMT5 are known');
  }
  return known;
}

/** Checks that optional sizes equal the sizes they default to. */
function requireSame(keys: GgufKeys, key: string, expected: number): void {
  const size = keys.numberIfPresent(key) ?? expected;
  if (size !== expected) {
    keys.fault(
      keys.name(key),
      'gguf-size-unsupported',
      say`${size} is not supported in ${keys.architecture} files, only ${expected}.`,
      say`Use the Hugging Face folder of the model.`,
    );
  }
}
