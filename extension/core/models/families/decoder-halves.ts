import { bartLikes } from '../seq2seq/bart-like';
import type { BartFamily } from '../seq2seq/bart-like';
import type { Architecture } from '../transformer/architecture';
import { derive } from '../transformer/derive';
import { base } from './shared-parts';

/** Decoder of a model whose encoder is not in the file, so cross-attention has no input. */
function decoderHalf({ modelType, classes, config, norm, ...family }: BartFamily): Architecture {
  const { biases, head, scales, towers } = family;
  const { decoder } = towers();
  const { positions, wordNorm, embeddingNorm, finalNorm } = decoder;
  return {
    ...base,
    modelType,
    classes: {
      config: classes.config,
      model: classes.config.replace('Config', 'ForCausalLM'),
    },
    config: {
      names: {
        num_hidden_layers: 'decoder_layers',
        num_attention_heads: 'decoder_attention_heads',
        intermediate_size: 'decoder_ffn_dim',
        ...config.names,
      },
      defaults: (given) => ({
        tie_word_embeddings: true,
        scale_embedding: false,
        ...config.defaults?.(given),
      }),
      ...(config.computed === undefined ? {} : { computed: config.computed }),
      only: (given) => ({ ...config.only?.(given), is_encoder_decoder: false }),
    },
    embeddingAndHead: {
      prefixes: ['model.decoder.', 'decoder.'],
      embedding: 'embed_tokens',
      blocks: decoder.blocks,
      heads: [head.name],
      ...(positions === undefined
        ? {}
        : { positions: { name: positions.name, offset: positions.offset } }),
      ...(embeddingNorm === undefined ? {} : { embeddingNorm }),
      ...(wordNorm === undefined ? {} : { wordNorm }),
      ...(finalNorm === undefined ? {} : { finalNorm }),
    },
    norm,
    attention: decoder.attention,
    feedforward: decoder.feedforward,
    biases,
    rotary: 'none',
    scales,
  };
}

/** arXiv 2109.10282 */
const trOcr = (bart: Architecture): Architecture =>
  derive(
    bart,
    { modelType: 'trocr', classes: { config: 'TrOCRConfig', model: 'TrOCRForCausalLM' } },
    {
      defaults: { is_encoder_decoder: false, max_position_embeddings: 512 },
      only: () => ({
        is_encoder_decoder: false,
        use_learned_position_embeddings: true,
        layernorm_embedding: true,
      }),
    },
  );

/** Decoders of encoder–decoder models that were saved alone (`…ForCausalLM`). */
export const decoderHalves: readonly Architecture[] = bartLikes.flatMap((family) => {
  const half = decoderHalf(family);
  return family.modelType === 'bart' ? [half, trOcr(half)] : [half];
});
