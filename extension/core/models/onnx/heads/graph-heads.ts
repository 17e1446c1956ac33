import type { OnnxFile } from '../../../checkpoints/onnx-file';
import { say } from '../../../message';
import type { Message } from '../../../message';
import { commonStep } from '../../width-pruning/weight-cuts';
import type { Width } from '../../width-pruning/width';
import type { GraphMatrices } from '../matrices/graph-matrices';
import { channelInputs } from '../matrices/graph-width';
import type { OnnxModel } from '../stream/graph-stream';
import type { ValueShapes } from '../values/value-shapes';
import type { GroupPlace } from './group-places';
import { keyHeadCount } from './fused-rules';
import { groupIndices } from './group-places';
import { HeadWalk } from './head-walk';
import { withHeads } from './with-heads';

/** Heads of an attention sublayer, and the parts of the graph that depend on their number besides its weights. */
export interface GraphHeads extends Width {
  /** Values that have one slice per group. */
  readonly values: ReadonlyMap<string, GroupPlace>;
  /** Returns the file with the groups `kept`. Its weights are already cut. */
  readonly resized: (file: OnnxFile, kept: readonly number[]) => OnnxFile;
}

/**
 * Key/value heads of attention sublayer `index`: the smallest groups that remain independent between its matmuls.
 * Returns a reason if there are none.
 */
export function graphHeads(
  source: OnnxModel,
  index: number,
  matrices: GraphMatrices,
  shapes: ValueShapes,
): GraphHeads | Message | undefined {
  const last = matrices.last(index);
  if (source.place !== undefined) {
    return say`The graph contains it several times, once for each execution path.`;
  }
  if (last === undefined) {
    return undefined;
  }
  const nodes = [...(source.branches[index]?.nodes ?? [])];
  const products = nodes.filter((node) => node !== last.node && matrices.of(node) !== undefined);
  if (nodes.some((node) => keyHeadCount(node) === 1)) {
    return say`It has one key/value head.`;
  }
  let furthest: HeadWalk | undefined;
  for (const groups of listDivisors(last.in)) {
    const walk = new HeadWalk(source, matrices, shapes, last, groups, products);
    if (walk.run()) {
      const { values, changes } = walk;
      const output = groupIndices(groups, [last.in / groups]);
      const tensors = [...walk.tensors, channelInputs(last.linear, output)];
      const step = commonStep(tensors);
      return step === undefined || step >= groups
        ? undefined
        : {
            ...{ of: 'groups', count: groups, step, tensors, output: last.linear, values },
            resized: (file, kept) => withHeads(file, { values, changes, groups, shapes }, kept),
          };
    }
    furthest = (furthest?.values.size ?? 0) < walk.values.size ? walk : furthest;
  }
  return furthest?.problem;
}

/** Divisors from `number` down to 2. */
function listDivisors(number: number): number[] {
  return Array.from({ length: number - 1 }, (_, i) => number - i).filter(
    (divisor) => number % divisor === 0,
  );
}
