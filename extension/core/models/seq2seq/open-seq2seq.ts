import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import { openSafetensors } from '../../checkpoints/safetensors';
import { fingerprintModel } from '../fingerprint';
import type { FamilyOf } from '../model-family';
import type { ModelSummary } from '../model-summary';
import { summarizeModel } from '../summarize';
import { hasTiedHead } from '../transformer/embedding-and-head';
import { WordEmbedding } from '../modules/word-embedding';
import { joinTowers, layOutSeq2Seq } from './seq2seq-layout';
import { Seq2SeqModel } from './seq2seq-model';

/**
 * Opens the encoder–decoder model in a folder.
 * @throws UserError when something is missing or damaged.
 */
export async function openSeq2Seq(
  folder: ModelFolder,
  configText: string,
  family: FamilyOf<'encoder-decoder'>,
): Promise<{ readonly model: Seq2SeqModel; readonly checkpoint: Checkpoint }> {
  const checkpoint = await openSafetensors(folder.weights);
  return { model: await readSeq2Seq(folder, configText, family, checkpoint), checkpoint };
}

/** Opens an encoder–decoder model with these tensors. Uses the fingerprint of its files by default. */
export async function readSeq2Seq(
  folder: ModelFolder,
  configText: string,
  { architecture: family, config }: FamilyOf<'encoder-decoder'>,
  checkpoint: Checkpoint,
  fingerprint?: string,
): Promise<Seq2SeqModel> {
  const layout = layOutSeq2Seq(family, config, folder, checkpoint);
  const { encoder, decoder, epilogue } = layout;
  const { table } = decoder.start;
  const embeddingAndHead = epilogue.withEmbedding(table);
  const { max_position_embeddings: positions } = config;
  const maxPositions = Math.min(positions ?? Infinity, family.maxPositions?.(config) ?? Infinity);
  const found = summarizeModel({
    folder,
    config: {
      model_type: family.modelType,
      hidden_size: config.hidden_size,
      num_hidden_layers: layout.blockPlaces.length,
      espalier: config.espalier,
    },
    checkpoint,
    layout: { ...layout, ...joinTowers(layout) },
    embeddingAndHead,
    fingerprint: fingerprint ?? (await fingerprintModel(configText, checkpoint)),
    sizes: {
      vocabularySize: table.weight.shape[0] ?? config.vocab_size,
      ...(maxPositions < Infinity ? { maxPositions } : {}),
      ...(epilogue.head === undefined ? {} : { tiedHead: hasTiedHead(embeddingAndHead) }),
    },
  });
  const summary: ModelSummary = {
    ...found,
    encoderBlocks: config.encoder_layers,
    // The encoder runs once per source text, so it adds no cache per generated token.
    sublayers: found.sublayers.map((sublayer) =>
      sublayer.block < config.encoder_layers ? { ...sublayer, kvBytesPerToken: 0 } : sublayer,
    ),
  };
  const start = config.decoder_start_token_id ?? config.pad_token_id ?? undefined;
  // A tokenizer has only one vocabulary.
  const isOne = !(encoder.start instanceof WordEmbedding) || encoder.start.table === table;
  return new Seq2SeqModel(summary, checkpoint.files, layout, isOne ? start : undefined);
}
