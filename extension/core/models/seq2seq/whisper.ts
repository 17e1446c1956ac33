import { allBiases } from '../families/pieces';
import { towersOf } from './bart-like';
import { countedBlocks } from './seq2seq-family';
import type { Seq2SeqFamily } from './seq2seq-family';

const towers = towersOf(true, {
  positions: { name: 'embed_positions', offset: 0 },
  finalNorm: 'layer_norm',
});

/** Whisper (arXiv 2212.04356): the encoder reads a log-mel spectrogram through two convolutions. */
export const whisper: Seq2SeqFamily = {
  modelType: 'whisper',
  classes: {
    config: 'WhisperConfig',
    model: 'WhisperModel',
    head: 'WhisperForConditionalGeneration',
  },
  auto: 'AutoModelForSpeechSeq2Seq',
  config: {
    names: {
      hidden_size: 'd_model',
      hidden_act: 'activation_function',
      max_position_embeddings: 'max_target_positions',
    },
    defaults: () => ({
      hidden_act: 'gelu',
      max_position_embeddings: 448,
      max_source_positions: 1500,
      is_encoder_decoder: true,
      pad_token_id: 50256,
      decoder_start_token_id: 50257,
    }),
    computed: () => ({ rms_norm_eps: 1e-5 }),
    only: () => ({ is_encoder_decoder: true }),
    ...countedBlocks({ encoder: 'encoder_layers', decoder: 'decoder_layers' }),
  },
  prefix: 'model.',
  norm: 'layer',
  biases: () => ({ ...allBiases(true), key: false }),
  words: ['decoder.embed_tokens'],
  head: { name: 'proj_out' },
  towers: () => towers,
  source: { convolutions: ['conv1', 'conv2'] },
  scales: ({ scale_embedding: isScaled, hidden_size: hidden }) => ({
    embedding: isScaled ? Math.sqrt(hidden) : 1,
  }),
};
