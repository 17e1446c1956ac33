import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Architecture } from '../transformer/architecture';
import type { ConfigFields } from '../transformer/model-config';
import type { FamilyDescription } from './family-description';
import { allGgufFamilies } from './gguf-families';
import type { GgufFamily } from './gguf-traits';
import { toGgufArchitecture } from './gguf-names';
import { placesInBlock, placesOutside } from './gguf-places';
import { hasExperts } from './tensor-placement';
import type { BothNames, Piece, Place, Places } from './tensor-placement';

/** Part of a GGUF tensor that a tensor of a folder is written to. */
export interface PlacedPiece extends Piece {
  /** Full name. */
  readonly name: string;
}

/** GGUF architecture that a folder is written as. */
export interface GgufTarget {
  /** `general.architecture` */
  readonly architecture: string;
  readonly family: GgufFamily;
  /**
   * Returns the parts of GGUF tensors that a tensor is written to, or undefined if it has no
   * counterpart.
   * @param name contains the number of the block in the file
   * @param changes number of blocks in the file; source block and remaining experts of each block
   * in the file
   */
  readonly place: (
    name: string,
    tensor: LazyTensor,
    changes?: {
      readonly blocks: number;
      readonly block: (inFile: number) => number;
      readonly kept: (inFile: number) => readonly number[] | undefined;
    },
  ) => readonly PlacedPiece[] | undefined;
}

/**
 * Returns the GGUF architecture for a folder, or undefined if llama.cpp or Espalier doesn't support
 * it.
 */
export function ggufTarget(description: FamilyDescription): GgufTarget | undefined {
  const { architecture: known, config, decoder } = description;
  const towers = decoder === undefined ? [known] : [known, decoder];
  const fields: ConfigFields = config;
  const found = allGgufFamilies.filter(
    ([, { modelType, alsoFrom = [], withExperts, withSigmoid, ...family }]) =>
      family.mayLackSublayers !== true &&
      (family.towers ?? ['']).length === towers.length &&
      Object.entries(family.matchingFields ?? {}).every(
        ([field, value]) => fields[field] === value,
      ) &&
      [modelType, ...alsoFrom, withExperts, withSigmoid].includes(
        known.textType ?? known.modelType,
      ),
  );
  const moeFamily = hasExperts(known, config)
    ? found.find(([, { prefersExperts }]) => prefersExperts === true)
    : undefined;
  const [architecture, family] = moeFamily ?? found[0] ?? [];
  if (
    architecture === undefined ||
    family === undefined ||
    (known.end !== undefined && family.writesEnds !== true)
  ) {
    return undefined;
  }
  const places = towers.map((tower, i) => {
    const own = towerInGguf(toGgufArchitecture(tower, family), family.towers?.[i]);
    return tensorPlaces({ known: tower, own, family, config });
  });
  return {
    architecture,
    family,
    place: (...tensor) => places.map((place) => place(...tensor)).find((one) => one !== undefined),
  };
}

/** The names of an encoder or decoder that has a prefix of its own. */
function towerInGguf(own: Architecture, prefix: string | undefined): Architecture {
  const { blocks, finalNorm, ...embeddingAndHead } = own.embeddingAndHead;
  return prefix === undefined
    ? own
    : {
        ...own,
        embeddingAndHead: {
          ...embeddingAndHead,
          blocks: `${prefix}${blocks}`,
          ...(finalNorm === undefined ? {} : { finalNorm: `${prefix}${finalNorm}` }),
        },
      };
}

/** Places of the tensors of one list of blocks, and of those outside of it. */
function tensorPlaces(names: BothNames): GgufTarget['place'] {
  const { known, own, family, config } = names;
  const placesByBlock = new Map<number, Places>();
  const blockPlaces = (block: number): Places => {
    const places = placesByBlock.get(block) ?? placesInBlock(withBlock(names, block));
    placesByBlock.set(block, places);
    return places;
  };
  const unchanged = {
    blocks: config.num_hidden_layers,
    block: (same: number): number => same,
    kept: () => undefined,
  };
  return (name, tensor, { blocks, block, kept } = unchanged) => {
    const factors = family.factors?.(config, blocks) ?? {};
    for (const prefix of known.embeddingAndHead.prefixes) {
      const outside = placesOutside(names, prefix);
      const place = spellings(name, known).flatMap((one) => outside.get(one) ?? [])[0];
      if (place !== undefined) {
        return named(place(tensor, undefined), '', family, factors);
      }
      const [, number, rest] = splitBlockName(name, `${prefix}${known.embeddingAndHead.blocks}.`);
      const inFile = Number(number);
      const inside =
        rest === undefined ? undefined : placeBelow(blockPlaces(block(inFile)), rest, known);
      if (inside !== undefined) {
        const pieces = inside.place(tensor, kept(inFile));
        const before = `${own.embeddingAndHead.blocks}.${inFile}.`;
        return named(pieces, before, family, factors).map((piece) => ({
          ...piece,
          ...(inside.expert === undefined ? {} : { expert: inside.expert }),
        }));
      }
    }
    return undefined;
  };
}

function withBlock({ known, own, config, ...names }: BothNames, block: number): BothNames {
  return {
    ...{ ...names, config },
    known: { ...known, ...known.blockForm?.(config, block) },
    own: { ...own, ...own.blockForm?.(config, block) },
  };
}

const splitBlockName = (name: string, start: string): readonly string[] =>
  name.startsWith(start) ? (/^(\d+)\.(.+)$/.exec(name.slice(start.length)) ?? []) : [];

/** A name in the checkpoint's spelling, and in the spellings of other published checkpoints. */
const spellings = (name: string, { aliases = {} }: Architecture): readonly string[] => [
  name,
  ...Object.entries(aliases).map(([part, other]) => `.${name}`.replace(other, part).slice(1)),
];

/** Location of a tensor below a block, and the number of its expert. */
function placeBelow(
  places: Places,
  name: string,
  known: Architecture,
): { readonly place: Place; readonly expert?: number } | undefined {
  for (const one of spellings(name, known)) {
    const place = places.get(one);
    const [, expert] = /\bexperts\.(\d+)\./.exec(one) ?? [];
    const sharedPlace = places.get(one.replace(/\bexperts\.\d+\./, 'experts.*.'));
    if (place !== undefined) {
      return { place };
    }
    if (sharedPlace !== undefined) {
      return { place: sharedPlace, expert: Number(expert) };
    }
  }
  return undefined;
}

/** Adds full names and conversion factors. The conversion omits the kind of some names. */
function named(
  pieces: readonly Piece[],
  before: string,
  { aliases = {} }: GgufFamily,
  factors: Readonly<Record<string, number>>,
): PlacedPiece[] {
  return pieces.map((piece) => {
    const own = piece.kind === '' ? piece.part : `${piece.part}.${piece.kind}`;
    const factor = factors[piece.part] ?? 1;
    return {
      ...piece,
      name: `${before}${aliases[own] ?? own}`,
      ...(factor === 1 ? {} : { changed: (value: number) => value * factor }),
    };
  });
}
