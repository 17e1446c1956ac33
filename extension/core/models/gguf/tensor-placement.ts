import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Architecture } from '../transformer/architecture';
import type { ModelConfig } from '../transformer/model-config';
import type { GgufFamily } from './gguf-traits';
import { allRows } from './gguf-rows';
import type { Change, RowsOfTensor } from './gguf-rows';

/** Part of a GGUF tensor that holds values of a folder's tensor. */
export interface Piece extends RowsOfTensor {
  /** Name without block and kind: `attn_q` of `blk.0.attn_q.weight`. */
  readonly part: string;
  readonly kind: string;
  /** Number of the expert, if all experts of a block share one tensor. */
  readonly expert?: number;
}

/**
 * Returns the parts that a tensor is written to. If experts are removed, only those in `kept` are
 * written.
 */
export type Place = (tensor: LazyTensor, kept: readonly number[] | undefined) => readonly Piece[];

/** Placements by tensor name below a block. */
export type Places = Map<string, Place>;

/** Tensor names in a Hugging Face folder and in a GGUF file. */
export interface BothNames {
  /** Names in the folder and in the file, both with the changes for the config. */
  readonly known: Architecture;
  readonly own: Architecture;
  readonly family: GgufFamily;
  readonly config: ModelConfig;
}

/** Adds weight and bias of a module. */
export function placeModule(
  places: Places,
  name: string | undefined,
  part: string | undefined,
  more: (tensor: LazyTensor) => Partial<RowsOfTensor> = () => ({}),
): void {
  if (name !== undefined && part !== undefined) {
    for (const kind of ['weight', 'bias']) {
      places.set(`${name}.${kind}`, (tensor) => [
        { part, kind, ...allRows(tensor), ...more(tensor) },
      ]);
    }
  }
}

/** Adds a tensor with the full name that it has in the file. */
export function placeTensor(places: Places, name: string, inFile: string, change?: Change): void {
  const [part, kind] = partAndKind(inFile);
  places.set(name, (tensor) => [
    { part, kind, ...allRows(tensor), ...(change === undefined ? {} : { changed: change }) },
  ]);
}

export function partAndKind(name: string): readonly [part: string, kind: string] {
  const [, part = name, kind = ''] = /^(.+)\.(weight|bias)$/.exec(name) ?? [];
  return [part, kind];
}

/** The offset that a family adds to the weights of its norms is in the file. */
export function placeNorm(
  places: Places,
  { known }: BothNames,
  name: string | undefined,
  part: string | undefined,
): void {
  placeModule(places, name, part);
  if (name !== undefined && part !== undefined && known.norm.endsWith('-offset')) {
    placeTensor(places, `${name}.weight`, `${part}.weight`, (value) => value + 1);
  }
}

/** True if any block of the folder has experts. */
export function hasExperts({ experts }: Architecture, config: ModelConfig): boolean {
  return Array.from({ length: config.num_hidden_layers }).some(
    (_, block) => experts?.isSparse(config, block) === true,
  );
}
