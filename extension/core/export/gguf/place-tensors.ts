import type { Checkpoint, LazyTensor } from '../../checkpoints/lazy-tensor';
import { readBytes } from '../../checkpoints/read-tensor';
import { checkpoint as stopIfAsked } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';
import type { PlacedPiece } from '../../models/gguf/gguf-target';
import type { Architecture } from '../../models/transformer/architecture';
import type { EncoderModel } from '../../models/encoders/encoder-model';
import type { AnyModel } from '../../models/opened-model';
import type { Seq2SeqModel } from '../../models/seq2seq/seq2seq-model';
import { isTied } from '../../models/transformer/embedding-and-head';
import { refused } from '../../models/capability';
import type { TransformerModel } from '../../models/transformer/transformer-model';
import { UserError } from '../../user-error';
import type { Changes } from '../changes';
import type { CheckpointSource } from '../hugging-face/checkpoint-source';
import { planTensors } from '../weight-plan';
import type { PlannedTensor } from '../weight-plan';
import type { TypedTensor } from './choose-types';
import type { FolderModel } from './folder-model';
import { explainUnsupportedInLlamaCpp } from './llama-cpp/explain-unsupported';
import { allRows } from '../../models/gguf/gguf-rows';
import type { RowsOfTensor } from '../../models/gguf/gguf-rows';
import { say } from '../../message';

/** Tensor of the file, with the source of its values in the folder. */
export interface PlacedTensor extends TypedTensor, RowsOfTensor {}

/** Tensors of the file, made from a folder's tensors. */
export interface PlacedTensors {
  /** In folder order. */
  readonly tensors: readonly PlacedTensor[];
  /** Names of tensors in the folder that the model doesn't use, and the file therefore lacks. */
  readonly leftOut: readonly string[];
}

/** @throws UserError naming a tensor that has no place in the file, though the model uses it. */
export async function placeTensors(
  model: FolderModel,
  source: CheckpointSource,
  checkpoint: Checkpoint,
  changes: Changes,
  cancellation: Cancellation,
): Promise<PlacedTensors> {
  const hasHead = await hasOwnHead(source, model, cancellation);
  const config = { ...model.config, tie_word_embeddings: !hasHead };
  const refusal = explainUnsupportedInLlamaCpp({ ...model, config }, changes);
  if (refusal !== undefined) {
    throw refused(refusal, model.configFile);
  }
  const byName = new Map<string, PlacedPiece[]>();
  const leftOut: string[] = [];
  for (const planned of planTensors(source.model, checkpoint, changes)) {
    const pieces = place(planned, model, source, { changes, hasHead });
    if (pieces === undefined) {
      leftOut.push(planned.tensor.name);
    }
    for (const piece of pieces ?? []) {
      byName.set(piece.name, [...(byName.get(piece.name) ?? []), piece]);
    }
  }
  const untied = tiedHeadWeight(source.model);
  const tensors = [
    ...[...byName.values()].map(joined),
    ...(untied === undefined ? [] : [{ name: headInFile, stored: untied, ...allRows(untied) }]),
  ];
  const scale = headScale(source.model);
  return {
    tensors: tensors.map((tensor) =>
      tensor.name === headInFile && scale !== 1
        ? { ...tensor, changed: (value: number) => value * scale }
        : tensor,
    ),
    leftOut,
  };
}

const headInFile = 'output.weight';

/** Factor on the input of the LM head, which the file has in the head's weights. */
export const headScale = (model: AnyModel): number =>
  model.kind === 'encoder-decoder' ? (model.layout.epilogue.head?.inputScale ?? 1) : 1;

/**
 * Tied embedding of an encoder–decoder model; its GGUF file stores the LM head as a separate tensor. Undefined if it
 * isn't tied.
 */
export function tiedHeadWeight(model: AnyModel): LazyTensor | undefined {
  if (model.kind !== 'encoder-decoder') {
    return undefined;
  }
  const { epilogue, decoder } = model.layout;
  const { table } = decoder.start;
  return epilogue.head !== undefined && isTied(table, epilogue.head.linear)
    ? table.weight
    : undefined;
}

/** Number of bytes per comparison. */
const bytesAtOnce = 2 ** 24;

/**
 * True if the head is another matrix than the embedding. transformers doesn't tie tensors that are
 * stored with different values, regardless of config.json.
 */
async function hasOwnHead(
  { model }: CheckpointSource,
  { config }: FolderModel,
  cancellation: Cancellation,
): Promise<boolean> {
  if (!config.tie_word_embeddings || model.kind !== 'decoder') {
    return !config.tie_word_embeddings || model.kind === 'encoder-decoder';
  }
  const { epilogue, embedding: words } = model.layout;
  const embedding = words.table.weight;
  const head = epilogue.head?.linear.weight ?? embedding;
  if (head.name === embedding.name) {
    return false;
  }
  const isAlike =
    head.dtype === embedding.dtype &&
    head.length === embedding.length &&
    (head.packed ?? embedding.packed) === undefined;
  for (let at = 0; isAlike && at < head.length; at += bytesAtOnce) {
    await stopIfAsked(cancellation);
    const length = Math.min(bytesAtOnce, head.length - at);
    const [ours, theirs] = await Promise.all(
      [head, embedding].map(async ({ name, file, offset }) =>
        readBytes({ name, file, offset: offset + at, length }, length),
      ),
    );
    if (ours?.equals(theirs ?? Buffer.alloc(0)) !== true) {
      return true;
    }
  }
  return !isAlike;
}

/** Pieces of a GGUF tensor from a folder's tensor; undefined if the model doesn't use it. */
function place(
  { name, tensor }: PlannedTensor,
  { architecture, target }: FolderModel,
  { model }: CheckpointSource,
  {
    changes: { blocks, remainingExperts },
    hasHead,
  }: { readonly changes: Changes; readonly hasHead: boolean },
): readonly PlacedPiece[] | undefined {
  if (isComputed(tensor, model) || isPredictionTensor(tensor, model)) {
    return [];
  }
  const source = (block: number): number => blocks[block] ?? block;
  const found = target.place(name, tensor, {
    blocks: blocks.length,
    block: source,
    kept: (block) => remainingExperts.get(`block.${source(block)}.expert`),
  });
  const isLeftOut = isOtherPart(name, architecture, model) || belongsToHead(tensor, model);
  if (found === undefined && isLeftOut) {
    return [];
  }
  const pieces = found?.filter(({ part }) => part !== 'output' || hasHead);
  if (pieces?.length === 0) {
    return pieces;
  }
  if (isUnused(tensor, model) && !(pieces !== undefined && isWanted(target, pieces))) {
    return undefined;
  }
  if (pieces === undefined) {
    throw new UserError('tensor-not-in-gguf', say`The tensor has no place in a GGUF file.`, {
      file: tensor.file,
      field: tensor.name,
      remedy: say`Choose another format.`,
    });
  }
  return pieces;
}

const hasLayout = (model: AnyModel): model is TransformerModel | EncoderModel | Seq2SeqModel =>
  model.kind === 'decoder' || model.kind === 'encoder' || model.kind === 'encoder-decoder';

/** True for tensors that the model can compute, such as a mask. */
const isComputed = ({ name }: LazyTensor, model: AnyModel): boolean =>
  hasLayout(model) && model.layout.computed.includes(name);

const isUnused = ({ name }: LazyTensor, model: AnyModel): boolean =>
  hasLayout(model) && model.layout.unused.includes(name);

/** True for tensors of an encoder's head, which GGUF files can't store. */
const belongsToHead = ({ name }: LazyTensor, model: AnyModel): boolean =>
  model.kind === 'encoder' && model.headTensors.some((tensor) => tensor.name === name);

/**
 * True for tensors that llama.cpp requires although the model doesn't use them: keys and values
 * shared with another block, and the tensors that select tokens.
 */
const isWanted = ({ family }: FolderModel['target'], pieces: readonly PlacedPiece[]): boolean =>
  pieces.every(
    ({ name }) =>
      (family.wantsAllKeys === true && /\.attn_(?:k|v|k_norm)\./.test(name)) ||
      name.includes('.indexer.'),
  );

/** True for tensors outside the text tower, such as those of a vision encoder. */
const isOtherPart = (name: string, { textType }: Architecture, { blockNames }: AnyModel): boolean =>
  textType !== undefined && !name.startsWith(blockNames?.prefix ?? '');

/** Multi-token prediction modules next to the blocks (Qwen3-Next, Ernie 4.5). */
const predictionModule = /^(?:model\.)?mtp[._]/;

/**
 * True for tensors that predict further tokens: of such a module, or of a block after the model's
 * last one.
 */
function isPredictionTensor({ name }: LazyTensor, { blockNames, summary }: AnyModel): boolean {
  if (predictionModule.test(name)) {
    return true;
  }
  const { prefix = '' } = blockNames ?? {};
  const [block = ''] = name.startsWith(prefix) ? name.slice(prefix.length).split('.') : [];
  return Number(block || -1) >= summary.blocks;
}

/** Joins the pieces of one name: a single tensor, or the tensors of all experts in order. */
function joined(pieces: readonly PlacedPiece[]): PlacedTensor {
  const sorted = pieces.toSorted((a, b) => (a.expert ?? 0) - (b.expert ?? 0));
  const [first] = sorted;
  const rows = sorted.flatMap((piece) => piece.rows);
  const [stored] = rows;
  if (first === undefined || stored === undefined) {
    throw new Error('a name has a piece, and a piece has rows');
  }
  return {
    ...first,
    shape: first.expert === undefined ? first.shape : [sorted.length, ...first.shape.slice(1)],
    rows,
    stored: stored.tensor,
  };
}
