import type { Checkpoint, LazyTensor } from '../../checkpoints/lazy-tensor';
import type { PlacedPiece } from '../../models/gguf/gguf-target';
import type { Architecture } from '../../models/transformer/architecture';
import { UserError } from '../../user-error';
import type { Changes } from '../changes';
import type { CheckpointSource } from '../hugging-face/checkpoint-source';
import { planTensors } from '../weight-plan';
import type { PlannedTensor } from '../weight-plan';
import type { TypedTensor } from './choose-types';
import type { FolderModel } from './folder-model';
import type { RowsOfTensor } from '../../models/gguf/gguf-rows';
import { say } from '../../message';

/** A tensor of the file, and the numbers of the folder that it is made of. */
export interface PlacedTensor extends TypedTensor, RowsOfTensor {}

/**
 * The tensors of the file, in the order of the folder's.
 * @throws UserError naming a tensor that has no place in it.
 */
export function placeTensors(
  model: FolderModel,
  source: CheckpointSource,
  checkpoint: Checkpoint,
  changes: Changes,
): PlacedTensor[] {
  const byName = new Map<string, PlacedPiece[]>();
  for (const planned of planTensors(source.model, checkpoint, changes)) {
    for (const piece of place(planned, model, source, changes)) {
      byName.set(piece.name, [...(byName.get(piece.name) ?? []), piece]);
    }
  }
  return [...byName.values()].map(joined);
}

function place(
  { name, tensor }: PlannedTensor,
  { architecture, config, target }: FolderModel,
  { model }: CheckpointSource,
  { blocks, keptExperts }: Changes,
): readonly PlacedPiece[] {
  if (name.endsWith('rotary_emb.inv_freq') || isFurther(tensor, model)) {
    return [];
  }
  const source = (block: number): number => blocks[block] ?? block;
  const found = target.place(name, tensor, {
    block: source,
    kept: (block) => keptExperts.get(`block.${source(block)}.expert`),
  });
  if (found === undefined && isOtherPart(name, architecture, model)) {
    return [];
  }
  if (found === undefined) {
    throw new UserError(say`The tensor has no place in a GGUF file.`, {
      file: tensor.file,
      field: tensor.name,
      remedy: say`Choose another format.`,
    });
  }
  return found.filter(({ part }) => part !== 'output' || !config.tie_word_embeddings);
}

/** Whether a tensor is of another part than the text tower, such as one that sees images. */
const isOtherPart = (
  name: string,
  { textType }: Architecture,
  { blocksPrefix = '' }: CheckpointSource['model'],
): boolean => textType !== undefined && !name.startsWith(blocksPrefix);

/** Modules that predict further tokens and stand beside the blocks (Qwen3-Next, Ernie 4.5). */
const furtherModule = /^(?:model\.)?mtp[._]/;

/** Whether a tensor predicts further tokens: of such a module, or of a block behind the model's. */
function isFurther(
  { name }: LazyTensor,
  { blocksPrefix = '', summary }: CheckpointSource['model'],
): boolean {
  if (furtherModule.test(name)) {
    return true;
  }
  const [block = ''] = name.startsWith(blocksPrefix)
    ? name.slice(blocksPrefix.length).split('.')
    : [];
  return Number(block || -1) >= summary.blocks;
}

/** What pieces make of one name: one, or those of all experts, in their order. */
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
