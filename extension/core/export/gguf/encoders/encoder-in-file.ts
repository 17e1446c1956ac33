import { sliceRows } from '../../../checkpoints/lazy-tensor';
import { EncoderModel } from '../../../models/encoders/encoder-model';
import type { EncoderEmbedding } from '../../../models/encoders/find-embedding';
import { denseWeight, folderPooling } from '../../../models/folder-pooling';
import type { FolderPooling } from '../../../models/folder-pooling';
import {
  denseModules,
  poolingKey,
  poolingNumbers,
} from '../../../models/gguf/encoders/encoder-names';
import { allRows } from '../../../models/gguf/gguf-rows';
import type { AnyModel } from '../../../models/opened-model';
import type { Sublayer } from '../../../models/modules/sublayer-list';
import { UserError } from '../../../user-error';
import type { ModelOutput } from '../llama-cpp/rule';
import type { PlacedTensor } from '../place-tensors';
import { headerEntry, tokenizerKey } from '../header-entries';
import { say } from '../../../message';

/** Said of a file that lacks the head of its source. */
export const withoutHead = say`It contains the encoder without its head.`;

/** Note for files that lack the bias added after MoE layers. */
export const missingSumBiasNote = say`It contains MoE layers without their bias, which llama.cpp has no tensor for.`;

/** True if the model adds a bias after MoE layers. GGUF files can't store it. */
export const hasSumBias = (model: AnyModel): boolean =>
  model.kind === 'encoder' && model.layout.sublayers.some((one) => addsBias(one));

const addsBias = ({ kind, weights }: Sublayer): boolean =>
  kind === 'expert' && weights.parts.some(({ sumBias }) => sumBias !== undefined);

/** True if the model has a head. GGUF files can't store it. */
export const hasHead = (model: AnyModel): boolean =>
  model.kind === 'encoder' && model.output.givesScores;

/** Returns the output of a model, as constraints of llama.cpp tell them apart. */
export function modelOutput(model: AnyModel): ModelOutput {
  switch (model.kind) {
    case 'encoder':
      return hasHead(model) && model.layout.head?.reads !== 'all' ? 'classes' : 'states';
    case 'encoder-decoder':
      return model.output.givesScores ? 'logits' : 'states';
    case 'decoder':
    case 'stages':
    case 'graph':
      return 'logits';
  }
}

/** Pooling of an encoder's folder, with the error if a file of it is invalid. */
export async function readPooling(model: AnyModel): Promise<FolderPooling | undefined> {
  if (model.kind !== 'encoder') {
    return undefined;
  }
  try {
    return await folderPooling(model.summary.path);
  } catch (error) {
    if (error instanceof UserError) {
      return { fault: error };
    }
    throw error;
  }
}

/** Header entries that only encoders have. */
export async function encoderEntries(architecture: string, model: EncoderModel): Promise<Buffer[]> {
  const { pooling = 'none', dense = [] } = (await folderPooling(model.summary.path)) ?? {};
  const key = (name: string): string => `${architecture}.${name}`;
  const { embedding } = model.layout;
  const types = embedding.kind === 'text' ? embedding.types?.shape[0] : undefined;
  return [
    headerEntry.flag(key('attention.causal'), false),
    headerEntry.integer(key(poolingKey), poolingNumbers[pooling]),
    // llama.cpp asks for it also where there is no table.
    headerEntry.integer(tokenizerKey('token_type_count'), types ?? 1),
    ...dense.flatMap(({ tensors }, i) => {
      const [out = 0, input = 0] = denseWeight(tensors)?.shape ?? [];
      return [
        headerEntry.integer(key(`${denseModules[i]}_feat_in`), input),
        headerEntry.integer(key(`${denseModules[i]}_feat_out`), out),
      ];
    }),
  ];
}

/** Linear layers after the pooling, as tensors of the file. */
export const denseTensors = ({ layout }: EncoderModel): PlacedTensor[] =>
  (layout.head?.pools === true ? layout.head.steps : []).map(({ linear: { weight } }, i) => ({
    ...{ name: `${denseModules[i]}.weight`, stored: weight },
    ...allRows(weight),
  }));

/**
 * The encoder as stored in its file: without a head, with positions 0, 1, 2, … for all tokens, and
 * without biases after MoE layers.
 */
export function encoderInFile(model: AnyModel): AnyModel {
  if (model.kind !== 'encoder') {
    return model;
  }
  const { summary, files, layout } = model;
  return new EncoderModel(summary, files, {
    ...layout,
    embedding: countedFromZero(layout.embedding),
    sublayers: layout.sublayers.map((one) => withoutBias(one)),
    head: undefined,
  });
}

function withoutBias(sublayer: Sublayer): Sublayer {
  return sublayer.kind === 'expert'
    ? sublayer.withWeights({
        ...sublayer.weights,
        parts: sublayer.weights.parts.filter(({ sumBias }) => sumBias === undefined),
      })
    : sublayer;
}

function countedFromZero(embedding: EncoderEmbedding): EncoderEmbedding {
  if (embedding.kind !== 'text' || embedding.positions === undefined) {
    return embedding;
  }
  const { positions, padding = -1 } = embedding;
  const rows = sliceRows(positions, padding + 1, positions.shape[0] ?? 0);
  return { ...embedding, positions: padding < 0 ? positions : rows, padding: undefined };
}
