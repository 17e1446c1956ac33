import type { GraphIndex, GraphNode } from '../graph-index';
import { stringAttribute } from '../graph-index';
import { isSum } from '../stream/residual-candidates';
import type { Selected } from './chosen-numbers';

/** A sum over experts: `end` = `start` + Σ `parts`. */
export interface ExpertSum {
  readonly end: string;
  /** Term that doesn't depend on experts, if any. */
  readonly start: string | undefined;
  readonly parts: readonly { readonly value: string; readonly experts: ReadonlySet<number> }[];
}

/** Operators that map 0 to 0. */
const linear = new Set([
  'Reshape',
  'Cast',
  'Identity',
  'Squeeze',
  'Unsqueeze',
  'Flatten',
  'Transpose',
  'Mul',
]);

/**
 * Adds by which experts join the sum, each computed from its own values, from the values of single experts up to `end`.
 * Returns a reason if two experts share a value.
 */
export function separateExperts(
  selected: Selected,
  end: string,
  { index, live }: { readonly index: GraphIndex; readonly live: ReadonlySet<GraphNode> },
): readonly ExpertSum[] | string {
  const own = new Map(selected);
  const totals = new Map<string, ReadonlySet<number>>();
  const sums: ExpertSum[] = [];
  const first = Math.min(...[...selected.keys()].map((value) => producerOrder(value, index)));
  for (const node of index.nodes.slice(first + 1, producerOrder(end, index) + 1)) {
    const parts = live.has(node)
      ? node.inputs.flatMap((value) => {
          const expert = own.get(value);
          const experts = expert === undefined ? totals.get(value) : new Set([expert]);
          return experts === undefined ? [] : [{ value, experts, isTotal: expert === undefined }];
        })
      : [];
    const experts = new Set(parts.flatMap((part) => [...part.experts]));
    if (parts.length === 0 || node.outputs.some((output) => selected.has(output))) {
      continue;
    }
    const [output = ''] = node.outputs;
    const isSingleExpert = experts.size === 1 && parts.every(({ isTotal }) => !isTotal);
    const sum = readSum(node, parts, index);
    if (sum !== undefined && (!isSingleExpert || sum.start !== undefined)) {
      sums.push({ end: output, ...sum });
      if (sum.start === undefined) {
        totals.set(output, experts);
      }
    } else if (isSingleExpert) {
      const [expert = 0] = experts;
      node.outputs.forEach((one) => own.set(one, expert));
    } else if (parts.length === 1 && linear.has(node.op)) {
      totals.set(output, experts);
    } else if (node.op !== 'Shape') {
      return `${node.op} reads what several experts give`;
    }
  }
  const mixed = own.has(end);
  const numbers = new Set(selected.values());
  const added = new Set(sums.flatMap(({ parts }) => parts.flatMap((part) => [...part.experts])));
  return mixed || [...numbers].some((number) => !added.has(number))
    ? 'what its experts compute is not added up'
    : sums;
}

/** Values to replace in a graph without the experts `gone`: each `sum` that is left with one term becomes that term. */
export function withoutExperts(
  sums: readonly ExpertSum[],
  gone: ReadonlySet<number>,
): { start: string; sum: string }[] {
  return sums.flatMap(({ start, end: sum, parts }) => {
    const isGone = (part: (typeof parts)[number]): boolean =>
      [...part.experts].every((expert) => gone.has(expert));
    const staying = [
      ...(start === undefined ? [] : [start]),
      ...parts.filter((part) => !isGone(part)).map(({ value }) => value),
    ];
    const [only, ...others] = staying;
    return parts.some(isGone) && only !== undefined && others.length === 0
      ? [{ start: only, sum }]
      : [];
  });
}

function producerOrder(value: string, { producers }: GraphIndex): number {
  return producers.get(value)?.order ?? -1;
}

/** Reads a node as a sum over experts; undefined if it isn't one. */
function readSum(
  node: GraphNode,
  parts: ExpertSum['parts'],
  { constants }: GraphIndex,
): Pick<ExpertSum, 'start' | 'parts'> | undefined {
  const { op, proto, inputs } = node;
  const others = inputs.filter((value) => parts.every((part) => part.value !== value));
  if (isSum(node)) {
    // A constant added to the output of one expert is its bias.
    const start = others.find((value) => !constants.has(value));
    return inputs.length === 2 ? { start, parts } : undefined;
  }
  const scatters = op === 'ScatterND' || op === 'ScatterElements';
  if (!scatters || stringAttribute(proto, 'reduction', 'none') !== 'add') {
    return undefined;
  }
  const [start = '', , added = ''] = proto.input;
  const experts = new Set(parts.flatMap((part) => [...part.experts]));
  return others.includes(start) ? { start, parts: [{ value: added, experts }] } : undefined;
}
