import { rowsOfTensor } from '../../../checkpoints/lazy-tensor';
import { EncoderModel } from '../../../models/encoders/encoder-model';
import type { EncoderEmbedding } from '../../../models/encoders/find-embedding';
import { folderPooling } from '../../../models/folder-pooling';
import { poolingKey, poolingNumbers } from '../../../models/gguf/encoders/pooling';
import type { LayeredModel } from '../../../models/layered-model';
import { headerEntry, tokenizerKey } from '../header-entries';
import type { Refusal } from '../../../models/capability';
import { say } from '../../../message';

/** Said of a file that lacks the head of its source. */
export const withoutHead = say`It holds the encoder without its head.`;

/** Whether a folder has a head, which a file lacks. */
export const hasHead = (model: LayeredModel): boolean =>
  model instanceof EncoderModel && model.output.givesScores;

/** Why a file, which gives embeddings, would not be of use: its source gives classes. */
export function whyClasses(model: LayeredModel): Refusal | undefined {
  const reads = hasHead(model) ? (model as EncoderModel).layout.head?.reads : 'all';
  return reads === 'all'
    ? undefined
    : {
        code: 'not-in-gguf',
        reason: say`GGUF files hold encoders that give embeddings, not classes.`,
        remedy: say`Choose another format, or name the model without its head in architectures of config.json.`,
      };
}

/**
 * Entries of the header that encoders alone have.
 * @throws UserError for a pooling that llama.cpp does not have, and for modules behind it.
 */
export async function encoderEntries(architecture: string, model: EncoderModel): Promise<Buffer[]> {
  const found = await folderPooling(model.summary.path);
  if (found?.fault !== undefined) {
    throw found.fault;
  }
  const key = (name: string): string => `${architecture}.${name}`;
  const { embedding } = model.layout;
  const types = embedding.kind === 'text' ? embedding.types?.shape[0] : undefined;
  return [
    headerEntry.flag(key('attention.causal'), false),
    headerEntry.integer(key(poolingKey), poolingNumbers[found?.pooling ?? 'none']),
    // llama.cpp asks for it also where there is no table.
    headerEntry.integer(tokenizerKey('token_type_count'), types ?? 1),
  ];
}

/** An encoder as its file has it: without a head, and positions from 0, whatever tokens are. */
export function encoderInFile(model: LayeredModel): LayeredModel {
  if (!(model instanceof EncoderModel)) {
    return model;
  }
  const { summary, files, layout } = model;
  return new EncoderModel(summary, files, {
    ...layout,
    embedding: countedFromZero(layout.embedding),
    head: undefined,
  });
}

function countedFromZero(embedding: EncoderEmbedding): EncoderEmbedding {
  if (embedding.kind !== 'text' || embedding.positions === undefined) {
    return embedding;
  }
  const { positions, padding = -1 } = embedding;
  const rows = rowsOfTensor(positions, padding + 1, positions.shape[0] ?? 0);
  return { ...embedding, positions: padding < 0 ? positions : rows, padding: undefined };
}
