import { join } from 'node:path';
import { sliceRows } from '../../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import { EncoderModel } from '../../../models/encoders/encoder-model';
import type { EncoderEmbedding } from '../../../models/encoders/find-embedding';
import { folderPooling } from '../../../models/folder-pooling';
import type { DenseModule } from '../../../models/folder-pooling';
import { denseModules, poolingKey, poolingNumbers } from '../../../models/gguf/encoders/pooling';
import { allRows } from '../../../models/gguf/gguf-rows';
import type { GgufFamily } from '../../../models/gguf/gguf-traits';
import type { AnyModel } from '../../../models/opened-model';
import type { Sublayer } from '../../../models/modules/sublayer-list';
import { UserError } from '../../../user-error';
import type { PlacedTensor } from '../place-tensors';
import { headerEntry, tokenizerKey } from '../header-entries';
import type { Refusal } from '../../../models/capability';
import { say } from '../../../message';

/** Said of a file that lacks the head of its source. */
export const withoutHead = say`It contains the encoder without its head.`;

/** Note for files that lack the bias added after MoE layers. */
export const missingSumBiasNote = say`It contains MoE layers without their bias, which llama.cpp has no tensor for.`;

/** True if the model adds a bias after MoE layers. GGUF files can't store it. */
export const hasSumBias = (model: AnyModel): boolean =>
  model.kind === 'encoder' && model.layout.sublayers.some((one) => addsBias(one));

const addsBias = ({ kind, weights }: Sublayer): boolean =>
  kind === 'expert' && weights.sumBias !== undefined;

/** True if the model has a head. GGUF files can't store it. */
export const hasHead = (model: AnyModel): boolean =>
  model.kind === 'encoder' && model.output.givesScores;

/** Why a file, which gives embeddings, would not be of use: its source gives classes. */
export function whyClasses(model: AnyModel): Refusal | undefined {
  const reads = model.kind === 'encoder' && hasHead(model) ? model.layout.head?.reads : 'all';
  return reads === 'all'
    ? undefined
    : {
        code: 'not-in-gguf',
        reason: say`GGUF files store encoders for embeddings, not classifiers.`,
        remedy: say`Choose another format, or name the model without its head in architectures of config.json.`,
      };
}

/** Explains why llama.cpp can't compute the encoder's pooling or the modules after it. */
export async function explainUnsupportedPooling(
  model: AnyModel,
  family: GgufFamily | undefined,
): Promise<Refusal | undefined> {
  if (model.kind !== 'encoder') {
    return undefined;
  }
  try {
    const { dense = [], fault } = (await folderPooling(model.summary.path)) ?? {};
    return fault === undefined ? whyOtherDense(family?.hasDense, dense, model) : refusalFor(fault);
  } catch (error) {
    if (error instanceof UserError) {
      return refusalFor(error);
    }
    throw error;
  }
}

const otherFormat = say`Choose another format.`;

const refusalFor = ({ problem, subject }: UserError): Refusal => ({
  ...{ code: 'not-in-gguf', reason: problem },
  ...subject,
  remedy: subject.remedy ?? otherFormat,
});

/** Entries of the header that encoders alone have. */
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
      const [out = 0, input = 0] = findWeight(tensors)?.shape ?? [];
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

const findWeight = (tensors: DenseModule['tensors']): LazyTensor | undefined =>
  [...tensors.values()].find(({ shape }) => shape.length === 2);

/** Why llama.cpp does not compute what follows the pooling: it takes two matrices, and the last as wide as the stream. */
function whyOtherDense(
  hasDense = false,
  dense: readonly DenseModule[],
  { layout, summary }: EncoderModel,
): Refusal | undefined {
  const [first] = dense;
  const { hiddenSize } = layout.attention;
  const isPlain = dense.every(
    ({ step, tensors }) => step.activation === undefined && tensors.size === 1,
  );
  const out = dense.map(({ tensors }) => findWeight(tensors)?.shape[0]);
  if (
    first === undefined ||
    (hasDense && isPlain && dense.length === denseModules.length && out[1] === hiddenSize)
  ) {
    return undefined;
  }
  return {
    code: 'not-in-gguf',
    reason: hasDense
      ? say`llama.cpp runs two linear layers after the pooling, without biases and activations, with ${hiddenSize} output channels.`
      : say`GGUF files of ${summary.architecture} models can't store linear layers after the pooling.`,
    ...{ file: join(summary.path, 'modules.json'), field: first.path },
    remedy: say`Choose another format, or remove the module from modules.json.`,
  };
}

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
    ? sublayer.withWeights({ ...sublayer.weights, sumBias: undefined })
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
