import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { ModelFolder } from '../../checkpoints/model-folder';
import type { MatrixEncoding } from '../matrix-encoding';
import { describedEncodings, TensorFinder } from '../transformer/tensor-finder';
import { UserError } from '../../user-error';
import { chain } from './piece';
import type { Piece } from './piece';
import { PieceFinder } from './piece-finder';
import { sidesAt } from './staged-config';
import type { StagedConfig } from './staged-config';
import { classNames, stagePlaces } from './staged-family';
import { StagedSublayer } from './staged-sublayer';
import type { BlockGroup, StagedFamily, StagedKind } from './staged-family';
import { say } from '../../message';

/** Sublayers and other steps of a staged model, with all tensors found in the checkpoint. */
export interface StagedLayout {
  readonly channels: number;
  /** Height and width of images in pixels, if the model fixes them. */
  readonly image: readonly number[] | undefined;
  /** Steps from the pixels to the first branch. */
  readonly start: Piece;
  readonly sublayers: readonly StagedSublayer[];
  readonly head: Piece | undefined;
  /** Tensor name prefix of each block. */
  readonly blockPlaces: readonly string[];
  /** True if blocks stay when all their branches are removed, because config.json has no block count. */
  readonly keepsBlocks: boolean;
  readonly absent: readonly string[];
  readonly unused: readonly string[];
  readonly computed: readonly string[];
}

/** Folder and tensors that a layout is read from. */
export interface StagedSource {
  readonly folder: ModelFolder;
  readonly checkpoint: Checkpoint;
  /** Encodings that replace stored weights of linear layers, by weight name. */
  readonly forms?: ReadonlyMap<string, MatrixEncoding>;
}

/** True for training counters and for tables that can be computed from config.json. */
const isComputed = (name: string): boolean =>
  /\.num_batches_tracked$|\.relative_position_index$|\.relative_coords_table$/.test(name);

/**
 * Finds every tensor that a model of `family` needs and checks its shape.
 * @throws UserError naming the tensor or config field at fault.
 */
export function layOutStages(
  family: StagedFamily,
  config: StagedConfig,
  { folder, checkpoint, forms = new Map() }: StagedSource,
): StagedLayout {
  const hasHead = [...checkpoint.tensors.keys()].some((name) => name.startsWith(family.prefix));
  if (hasHead) {
    requireClasses(family, config);
  }
  const prefix = hasHead ? family.prefix : '';
  const groups = family.groups(config);
  const tensors = new TensorFinder(
    checkpoint,
    { norm: 'layer', transposed: false },
    describedEncodings(
      config.espalier?.compressed,
      (block) => blockPrefix(groups, Number(block), prefix) ?? block,
      folder.config,
    ),
  );
  const removed = new Set(config.espalier?.removed ?? []);
  const absent: string[] = [];
  const start: Piece[] = [];
  const sublayers: {
    readonly block: number;
    readonly kind: StagedKind;
    readonly branch: Piece;
    readonly behind: Piece[];
  }[] = [];
  for (const step of family.steps(config, new PieceFinder(tensors, prefix, forms))) {
    if (!('branch' in step)) {
      (sublayers.at(-1)?.behind ?? start).push(step);
      continue;
    }
    const { block, kind, branch } = step;
    const id = `block.${block}.${kind}`;
    if (removed.has(id)) {
      absent.push(id);
    } else {
      sublayers.push({ block, kind, branch: branch(), behind: [] });
    }
  }
  tensors.requireAllEncodings();
  const head = hasHead ? family.head(config, new PieceFinder(tensors, '')) : undefined;
  return {
    channels: config.num_channels,
    image: family.fixesImage === true ? sidesAt(config, 'image_size') : undefined,
    start: chain(say`Stem`, ...start),
    sublayers: sublayers.map(
      ({ block, kind, branch, behind }) =>
        new StagedSublayer(block, kind, branch, chain(say`After the sum`, ...behind)),
    ),
    head,
    blockPlaces: stagePlaces(groups).map(({ place, number }) => `${prefix}${place}${number}.`),
    keepsBlocks: family.config.pruned === undefined,
    absent,
    unused: tensors.unused().filter((name) => !isComputed(name)),
    computed: tensors.unused().filter(isComputed),
  };
}

/** @throws UserError if the head of the model isn't an image classifier. */
function requireClasses(family: StagedFamily, { architectures }: StagedConfig): void {
  const [name] = architectures ?? [];
  const { head, model } = classNames(family);
  if (name?.endsWith(head) === false) {
    throw new UserError(
      'model-class-unsupported',
      say`${name} is not supported, only ${head} and ${model}.`,
      { field: 'architectures', remedy: say`Export the model to ONNX and open that.` },
    );
  }
}

/**
 * Returns the tensor name prefix of a block, numbered across groups; undefined after the last block. It creates no
 * list, because block counts in config.json are unchecked.
 */
function blockPrefix(
  groups: readonly BlockGroup[],
  block: number,
  prefix: string,
): string | undefined {
  let before = 0;
  for (const { place, first, count } of groups) {
    if (block < before + count) {
      return `${prefix}${place}${first + block - before}.`;
    }
    before += count;
  }
  return undefined;
}
