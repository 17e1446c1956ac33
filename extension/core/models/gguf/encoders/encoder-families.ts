import type { GgufFamily, GgufSource } from '../gguf-traits';
import { gelu, gelus } from '../gguf-layer-norm-families';
import { describePooling } from './encoder-names';
import { say } from '../../../message';

/** Config fields that every encoder file has. */
const describeEncoder = ({ keys, tensors }: GgufSource): Readonly<Record<string, unknown>> => ({
  architectures: describePooling(keys),
  type_vocab_size: tensors.get('token_types.weight')?.shape[0] ?? 0,
});

/** Jina's code models apply a norm twice to the attention output. */
const describeJina = (source: GgufSource): Readonly<Record<string, unknown>> => {
  const { keys, tensors } = source;
  const second = 'blk.0.attn_norm_2.weight';
  return tensors.has(second)
    ? keys.fault(
        second,
        'gguf-second-norm-unsupported',
        say`${keys.architecture} files with a second attention norm are not supported.`,
        say`Choose another model.`,
      )
    : describeEncoder(source);
};

/**
 * Config fields of an encoder with MoE layers, which files describe by the interval between them.
 */
const describeMixtures = (source: GgufSource): Readonly<Record<string, unknown>> => {
  const { keys } = source;
  const key = 'moe_every_n_layers';
  return keys.number(key) === 2
    ? describeEncoder(source)
    : keys.fault(
        keys.name(key),
        'gguf-experts-placement-unsupported',
        say`${keys.architecture} files with experts in blocks other than every second one are not supported.`,
        say`Choose another model.`,
      );
};

/** Encoders see both directions. */
const seesAll = { is_decoder: false };

/** Families of encoders by `general.architecture` (src/models/bert.cpp, modern-bert.cpp, neo-bert.cpp, eurobert.cpp, gemma-embedding.cpp). */
export const encoderFamilies: Readonly<Record<string, GgufFamily>> = {
  'jina-bert-v2': {
    modelType: 'bert',
    matchingFields: { position_embedding_type: 'alibi' },
    activations: gelus,
    demands: () => seesAll,
    describe: describeJina,
  },
  bert: {
    modelType: 'bert',
    alsoFrom: ['roberta', 'xlm-roberta', 'camembert', 'distilbert'],
    activations: gelus,
    demands: () => seesAll,
    describe: describeEncoder,
  },
  'nomic-bert': {
    modelType: 'nomic_bert',
    readsFactors: false,
    demands: () => seesAll,
    describe: describeEncoder,
  },
  'nomic-bert-moe': {
    modelType: 'nomic_bert',
    matchingFields: { moe_every_n_layers: 2 },
    prefersExperts: true,
    sparseEvery: 'moe_every_n_layers',
    fields: { moe_every_n_layers: 'moe_every_n_layers' },
    activations: gelus,
    readsFactors: false,
    describe: describeMixtures,
  },
  'jina-bert-v3': {
    modelType: 'jina_embeddings_v3',
    activations: gelus,
    readsFactors: false,
    demands: () => seesAll,
    describe: describeEncoder,
  },
  'modern-bert': {
    modelType: 'modernbert',
    ...gelu,
    activations: [...gelus, 'silu'],
    windows: { period: 3, fullFirst: true, bothSides: true, ownRotary: true, mayLack: true },
    readsFactors: false,
    demands: () => ({ norm_bias: false, attention_bias: false, mlp_bias: false }),
    describe: describeEncoder,
  },
  'gemma-embedding': {
    modelType: 'gemma3_text',
    matchingFields: { use_bidirectional_attention: true },
    windows: { period: 6, ownRotary: true, needsFull: true },
    readsFactors: false,
    hasDense: true,
    demands: ({ head_dim: size }) => ({
      query_pre_attn_scalar: size,
      attn_logit_softcapping: null,
      attention_bias: false,
    }),
    describe: describeEncoder,
  },
  'neo-bert': {
    modelType: 'neobert',
    names: { 'embeddingAndHead.finalNorm': 'enc.output_norm' },
    readsFactors: false,
    demands: () => seesAll,
    describe: describeEncoder,
  },
  eurobert: {
    modelType: 'eurobert',
    readsFactors: false,
    demands: () => ({ attention_bias: false, mlp_bias: false }),
    describe: describeEncoder,
  },
};
