import { dataTypeBits } from '../../../checkpoints/onnx-file';
import type { OnnxInitializer } from '../../../checkpoints/onnx-file';
import type { GraphIndex, GraphNode } from '../graph-index';
import { intAttribute, intsAttribute } from '../graph-index';

/** A constant with an axis of experts. */
export interface ConstantByExpert {
  readonly value: string;
  readonly axis: number;
  /** Number of experts along the axis. */
  readonly count: number;
  /** Stored weight, or the node that computes the constant. */
  readonly source: OnnxInitializer | MadeConstant;
}

interface MadeConstant {
  readonly node: GraphNode;
  readonly parts: readonly PartOfConstant[];
}

interface PartOfConstant {
  /** Input index of the node. */
  readonly place: number;
  /** First expert of this part of a Concat. */
  readonly first: number;
  readonly constant: ConstantByExpert;
}

/** Graph and initializers of constants. */
export interface Constants {
  readonly index: GraphIndex;
  readonly initializers: ReadonlyMap<string, OnnxInitializer>;
}

/** Longest path from weights to a constant. */
const maxSteps = 8;

/**
 * Constant `value` with one slice per expert along `axis`; undefined if it can't be divided into weights per expert.
 */
export function constantByExpert(
  value: string,
  axis: number,
  count: number,
  constants: Constants,
  steps = 0,
): ConstantByExpert | undefined {
  const stored = constants.initializers.get(value);
  if (stored !== undefined) {
    return isDivisible(stored, axis, count) ? { value, axis, count, source: stored } : undefined;
  }
  const node = constants.index.producers.get(value);
  if (node === undefined || !constants.index.constants.has(value) || steps === maxSteps) {
    return undefined;
  }
  const wanted = inputParts(node, axis, count, constants);
  const parts = wanted?.flatMap(({ place, first, axis: own, count: share }) => {
    const constant = constantByExpert(
      node.proto.input[place] ?? '',
      own,
      share,
      constants,
      steps + 1,
    );
    return constant === undefined ? [] : [{ place, first, constant }];
  });
  return parts === undefined || parts.length < (wanted?.length ?? 0)
    ? undefined
    : { value, axis, count, source: { node, parts } };
}

/** Stored weights of a constant. */
export function expertWeights({ source }: ConstantByExpert): OnnxInitializer[] {
  return 'parts' in source
    ? source.parts.flatMap(({ constant }) => expertWeights(constant))
    : [source];
}

/** True if the data of each expert is a whole number of bytes. */
function isDivisible(
  { dims, dataType, mappable, inline }: OnnxInitializer,
  axis: number,
  count: number,
): boolean {
  const size = dims[axis] ?? 0;
  const bits = dataTypeBits(dataType);
  const inner = dims.slice(axis + 1).reduce((product, one) => product * one, size / count);
  return (
    (size === count || (axis === 0 && size % count === 0)) &&
    bits !== undefined &&
    Number.isInteger((inner * bits) / 8) &&
    (mappable || inline !== undefined)
  );
}

interface WantedPart {
  readonly place: number;
  readonly first: number;
  readonly axis: number;
  readonly count: number;
}

/** Inputs with an axis of experts of a node with such an output; undefined for unknown operators. */
function inputParts(
  { op, proto }: GraphNode,
  axis: number,
  count: number,
  { initializers }: Constants,
): WantedPart[] | undefined {
  const whole = (place: number, own = axis): WantedPart => ({ place, first: 0, axis: own, count });
  switch (op) {
    case 'Identity':
    case 'Cast':
      return [whole(0)];
    case 'Transpose': {
      const rank = initializers.get(proto.input[0] ?? '')?.dims.length;
      const perm = intsAttribute(proto, 'perm');
      const own = perm?.[axis] ?? (rank === undefined ? undefined : rank - 1 - axis);
      return own === undefined ? undefined : [whole(0, own)];
    }
    case 'DequantizeLinear': {
      const rank = initializers.get(proto.input[0] ?? '')?.dims.length ?? 0;
      const along = intAttribute(proto, 'axis', 1);
      const factors = [1, 2].flatMap((place) => {
        const dims = initializers.get(proto.input[place] ?? '')?.dims ?? [];
        const byRow = dims.length === 1 && (along < 0 ? along + rank : along) === axis;
        return byRow ? [whole(place, 0)] : dims.length > 1 ? [whole(place)] : [];
      });
      return [whole(0), ...factors];
    }
    case 'Concat': {
      let first = 0;
      const rows = proto.input.map((name, place) => {
        const own = initializers.get(name)?.dims[axis] ?? 0;
        const part = { place, first, axis, count: own };
        first += own;
        return part;
      });
      return intAttribute(proto, 'axis', 0) === axis && first === count ? rows : undefined;
    }
    default:
      return undefined;
  }
}
