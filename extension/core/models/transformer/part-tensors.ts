import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { encodingTensors } from '../encodings/encoding-facts';
import type { Linear } from '../parts/linear';
import type { MatrixEncoding } from '../matrix-encoding';
import type { Norm } from '../parts/norm';

/** Tensors of an MoE layer that belong to single experts. */
export interface ExpertTensors {
  /** Tensors of the router with one row per expert. */
  readonly byRow: readonly LazyTensor[];
  readonly experts: readonly (readonly LazyTensor[])[];
}

/** Weight and bias of a norm or linear layer, if present; for an encoded weight, the tensors of the encoding. */
export function partTensors(part: Norm | Linear | undefined): LazyTensor[] {
  const form = partEncoding(part);
  return form === undefined
    ? storedTensors(part)
    : [...encodingTensors(form), ...storedTensors(part)];
}

/** Tensors of a part without those of its encoding. */
export function storedTensors(part: Norm | Linear | undefined): LazyTensor[] {
  const weight = partEncoding(part) === undefined ? part?.weight : undefined;
  const byHead = part !== undefined && 'byHead' in part ? (part.byHead ?? []) : [];
  return [weight, part?.bias, ...byHead].filter((tensor) => tensor !== undefined);
}

function partEncoding(part: Norm | Linear | undefined): MatrixEncoding | undefined {
  return part !== undefined && 'encoding' in part ? part.encoding : undefined;
}

/** Finds a part by its names in a checkpoint; undefined if the model or the block has none. */
export type FindPart<Part, Source, Names = object> = (
  names: Names,
  source: Source,
) => Part | undefined;

type Finders<Part, Source> = Readonly<Record<string, FindPart<Part, Source, never>>>;

/** Names of parts in the table of an architecture, in order. The table loads without the code that emits them. */
export type PartNames<Known extends Finders<unknown, never>> = {
  readonly [Kind in keyof Known]?: Parameters<Known[Kind]>[0];
};

/** Finds the weights of an architecture's parts; parts that the model or the block lacks are skipped. */
export const findParts = <Part, Source, Known extends Finders<Part, Source>>(
  finders: Known,
  names: PartNames<Known> = {},
  source: Source,
): Part[] =>
  Object.entries(names).flatMap(([kind, own]) => {
    const find = finders[kind] as FindPart<Part, Source, typeof own> | undefined;
    return find?.(own, source) ?? [];
  });
