import type { GraphNode } from '../graph-index';
import { intAttribute, intsAttribute } from '../graph-index';
import type { Shape } from '../values/shape-query';
import { isSamePlace } from './group-places';
import type { GroupPlace } from './group-places';
import type { HeadRule } from './head-rule';

/** Input and output indices of a fused attention operator. */
interface Form {
  /** Queries, keys and values. Keys and values are empty if packed with queries. */
  readonly projected: readonly number[];
  /** Fused QKV weight, if the operator includes the projections. */
  readonly weight?: number;
  readonly bias?: number;
  /** Bias of scores [batch, heads or 1, sequence, positions]. */
  readonly scores: number;
  /** Caches [batch, groups, positions, head size], or with a leading axis of keys and values. */
  readonly past: readonly number[];
  /** Outputs of the cache. */
  readonly present: readonly number[];
  /** Input with one number per query head. */
  readonly byHead?: number;
  /** Inputs that don't depend on heads. */
  readonly others: readonly number[];
  readonly keyHeads?: string;
}

const forms: Readonly<Record<string, Form>> = {
  'com.microsoft:GroupQueryAttention': {
    ...{ projected: [0, 1, 2], past: [3, 4], present: [1, 2], scores: 10, byHead: 11 },
    ...{ others: [5, 6, 7, 8, 9], keyHeads: 'kv_num_heads' },
  },
  'com.microsoft:MultiHeadAttention': {
    ...{ projected: [0, 1, 2], bias: 3, past: [6, 7], present: [1, 2], scores: 5, others: [4] },
  },
  'com.microsoft:Attention': {
    ...{ projected: [], weight: 1, bias: 2, past: [4], present: [1], scores: 5, others: [0, 3] },
  },
};

const headsAxis = -3;

/** Number of key/value heads of a fused attention operator. */
export function keyHeadCount({ op, proto }: GraphNode): number | undefined {
  const form = forms[op];
  return form && intAttribute(proto, form.keyHeads ?? 'num_heads', 0);
}

function headRule(form: Form): HeadRule {
  const { projected, weight, bias, scores, past, present, byHead, others, keyHeads } = form;
  const known = new Set([...projected, ...past, ...others, weight, bias, scores, byHead]);
  return ({ node, output, place, groups, shape }) => {
    const { proto } = node;
    const count = intAttribute(proto, 'num_heads', 0);
    const [perGroup = 0, ...more] = place.parts;
    const heads = count / groups;
    const size = perGroup / heads;
    const has = (input: number | undefined): input is number =>
      input !== undefined && (proto.input[input] ?? '') !== '';
    const isOther = proto.input.some((name, input) => name !== '' && !known.has(input));
    // Queries, keys and values in one array, or keys of a cache, have further axes.
    const areRows = projected.every(
      (input) => !has(input) || (shape(proto.input[input] ?? '')?.length ?? 3) === 3,
    );
    if (
      output !== 0 ||
      place.axis !== -1 ||
      more.length > 0 ||
      isOther ||
      !areRows ||
      groups !== keyHeadCount(node) ||
      !(Number.isInteger(heads) && Number.isInteger(size))
    ) {
      return undefined;
    }
    const row = (...parts: readonly number[]): GroupPlace => ({ axis: -1, parts });
    const side = row(perGroup, size, size);
    const isOne = !has(projected[1]) && !has(projected[2]);
    const rows = isOne ? [side] : [row(perGroup), row(size), row(size)];
    const followed: readonly (readonly [number | undefined, GroupPlace])[] = [
      ...projected.map((input, i) => [input, rows[i] ?? side] as const),
      [weight, side],
      [bias, side],
      [byHead, row(heads)],
      ...(shape(proto.input[scores] ?? '')?.at(headsAxis) === 1
        ? []
        : [[scores, { axis: headsAxis, parts: [heads] }] as const]),
    ];
    const cache: GroupPlace = { axis: headsAxis, parts: [1] };
    return {
      follows: followed.flatMap(([input, at]) => (has(input) ? [[input, at] as const] : [])),
      caches: past.flatMap((input) => (has(input) ? [[input, cache] as const] : [])),
      gives: present.map((one) => [one, cache]),
      attributes: [
        ...['num_heads', ...(keyHeads === undefined ? [] : [keyHeads])],
        ...(intsAttribute(proto, 'qkv_hidden_sizes') === undefined ? [] : ['qkv_hidden_sizes']),
      ],
    };
  };
}

/** Inputs of ONNX's own operator: queries, keys and values in front. */
const [mask, pasts, presents] = [3, [4, 5], [1, 2]] as const;
const headCountAttributes = ['q_num_heads', 'kv_num_heads'] as const;

/**
 * ONNX's own operator reads heads [batch, heads, sequence, size], or rows of them with their numbers in attributes;
 * fewer heads of keys and values are shared by queries in order.
 */
const attention: HeadRule = ({ node: { proto }, output, place, groups, shape }) => {
  const input = (at: number): string => proto.input[at] ?? '';
  const of = (at: number): Shape | undefined => shape(input(at));
  const isParted = of(0)?.length === 4;
  const axis = isParted ? headsAxis : -1;
  const [heads, keyHeads] = isParted
    ? [of(0)?.at(headsAxis), of(1)?.at(headsAxis)]
    : headCountAttributes.map((name) => intAttribute(proto, name, 0));
  const [perGroup, keysPerGroup] = [Number(heads) / groups, Number(keyHeads) / groups];
  const groupPlace = (at: number, length: number, count: unknown): GroupPlace => {
    const size = isParted ? 1 : Number(of(at)?.at(-1)) / Number(count);
    return { axis, parts: [length * size] };
  };
  const rows = [
    groupPlace(0, perGroup, heads),
    groupPlace(1, keysPerGroup, keyHeads),
    groupPlace(2, keysPerGroup, keyHeads),
  ];
  const [, , values] = rows;
  const given: GroupPlace = { axis, parts: [(Number(values?.parts[0]) / keysPerGroup) * perGroup] };
  const numbers = [perGroup, keysPerGroup, ...rows.flatMap(({ parts }) => parts)];
  if (output !== 0 || !numbers.every(Number.isInteger) || !isSamePlace(place, given)) {
    return undefined;
  }
  const cache: GroupPlace = { axis: headsAxis, parts: [keysPerGroup] };
  const maskHeads = of(mask) === undefined ? heads : (of(mask)?.at(headsAxis) ?? 1);
  return {
    follows: [
      ...rows.map((row, at) => [at, row] as const),
      ...(input(mask) === '' || maskHeads === 1
        ? []
        : [[mask, { axis: headsAxis, parts: [perGroup] }] as const]),
    ],
    caches: pasts.flatMap((one) => (input(one) === '' ? [] : [[one, cache] as const])),
    gives: presents.map((one) => [one, cache]),
    attributes: isParted ? [] : headCountAttributes,
  };
};

/** Head rules of fused attention operators, by operator. */
export const fusedRules: Readonly<Record<string, HeadRule>> = {
  ...Object.fromEntries(Object.entries(forms).map(([op, form]) => [op, headRule(form)])),
  Attention: attention,
};
