import type { OwnHeads, PartKind } from './architecture';
import type { AttentionWeights } from '../parts/attention';
import type { BlockEnd } from '../parts/block-end';
import type { ExpertShape, ExpertWeights } from '../parts/experts';
import type { FeedforwardWeights } from '../parts/feedforward';
import type { MixerWeights } from '../parts/mixers/mixer';
import type { Branch, Norm } from '../parts/norm';
import type { Connection } from '../parts/streams/connection';
import { findPatch } from '../patch/symbolic-patch';
import type { PatchSpec, SymbolicPatch } from '../patch/symbolic-patch';
import type { TensorFinder } from './tensor-finder';

/** One sublayer with its weights found and checked. */
export type TransformerSublayer = (
  | {
      readonly kind: 'attention';
      readonly block: number;
      readonly weights: AttentionWeights;
      /** Its heads, where they are others than the model's. */
      readonly heads?: OwnHeads;
      readonly slidingWindow: number | undefined;
      /** Key of its rotary embedding in the layout. */
      readonly rotary: string | undefined;
    }
  | { readonly kind: 'mixer'; readonly block: number; readonly weights: MixerWeights }
  | { readonly kind: 'feedforward'; readonly block: number; readonly weights: FeedforwardWeights }
  | {
      readonly kind: 'expert';
      readonly block: number;
      readonly shape: ExpertShape;
      readonly weights: ExpertWeights;
    }
  | PatchSublayer
) & {
  /** Of its block, and of blocks behind it whose sublayers are gone. */
  readonly ends?: readonly BlockEnd[];
};

/** A graph module that replaces a removed sublayer. */
export interface PatchSublayer {
  readonly kind: 'patch';
  readonly block: number;
  readonly place: PatchPlace;
  readonly patch: SymbolicPatch;
  /** Its only norms are those of the sum, which stay when a sublayer goes. */
  readonly weights: Branch;
}
export type PatchPlace = PartKind;

/** What a sublayer is, or what a patch stands for. */
export function placeOf(sublayer: TransformerSublayer): PatchPlace {
  return sublayer.kind === 'patch' ? sublayer.place : sublayer.kind;
}

/** Whether an attention reads what an encoder gives. */
export const isCross = ({ kind, weights }: TransformerSublayer): boolean =>
  kind === 'attention' &&
  weights.othersKeys !== undefined &&
  weights.othersKeys.block === undefined;

/** `block.N.KIND`, a patch having the id of what it stands for. */
export function idOfSublayer(sublayer: TransformerSublayer): string {
  return `block.${sublayer.block}.${isCross(sublayer) ? 'cross-attention' : placeOf(sublayer)}`;
}

/** The patch that config.json says stands in a place, its tensors in the module `module`. */
export function findPatchSublayer(
  tensors: TensorFinder,
  spec: PatchSpec,
  { block, place }: Pick<PatchSublayer, 'block' | 'place'>,
  hiddenSize: number,
  module: string,
  sumNorms: readonly Norm[] = [],
): PatchSublayer {
  const patch = findPatch(spec, hiddenSize, (name, shape) =>
    tensors.take(`${module}.${name}`, shape),
  );
  return { kind: 'patch', block, place, weights: { sumNorms }, patch };
}

/** What is left of sublayers that are gone in front of the first that is there. */
export interface Start {
  readonly norms: Norm[];
  readonly ends: BlockEnd[];
}

/** Puts what stays of a sublayer that is gone, norms of its sum and its block's end, behind the last before it. */
export function keepBehind(
  sublayers: TransformerSublayer[],
  start: Start,
  norms: readonly Norm[],
  ends: readonly BlockEnd[] = [],
): void {
  const before = sublayers.pop();
  if (before === undefined) {
    start.norms.push(...norms);
    start.ends.push(...ends);
  } else {
    sublayers.push(withBehind(before, norms, ends));
  }
}

/** The sublayer with a factor on the stream that it is added to. */
export function withFactor(
  sublayer: TransformerSublayer,
  streamFactor: number,
): TransformerSublayer {
  return streamFactor === 1
    ? sublayer
    : ({ ...sublayer, weights: { ...sublayer.weights, streamFactor } } as TransformerSublayer);
}

/** The sublayer with what connects it with several streams. */
export function withConnection(
  sublayer: TransformerSublayer,
  connection: Connection | undefined,
): TransformerSublayer {
  return connection === undefined
    ? sublayer
    : ({ ...sublayer, weights: { ...sublayer.weights, connection } } as TransformerSublayer);
}

/** The sublayer with norms and ends of blocks behind its own. */
export function withBehind<Sublayer extends TransformerSublayer>(
  sublayer: Sublayer,
  norms: readonly Norm[],
  ends: readonly BlockEnd[],
): Sublayer {
  const { weights } = sublayer;
  return {
    ...sublayer,
    ...(ends.length === 0 ? {} : { ends: [...(sublayer.ends ?? []), ...ends] }),
    ...(norms.length === 0
      ? {}
      : { weights: { ...weights, sumNorms: [...(weights.sumNorms ?? []), ...norms] } }),
  };
}
