import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import type { OnnxFile } from '../../../checkpoints/onnx-file';
import type { Message } from '../../../message';
import type { Width } from '../../width-pruning/width';
import type { GraphLinear } from '../matrices/graph-linears';
import { GraphMatrices } from '../matrices/graph-matrices';
import { findChannels, withTensors, channelInputs, withAttributes } from '../matrices/graph-width';
import type { OnnxModel } from '../stream/graph-stream';
import type { ValueShapes } from '../values/value-shapes';
import { say } from '../../../message';
import { commonStep } from '../../width-pruning/weight-cuts';
import type { GroupPlace } from './group-places';
import { keyHeadCount } from './fused-rules';
import { groupIndices } from './group-places';
import { HeadWalk } from './head-walk';
import type { GraphBuilder } from '../../../onnx/graph-builder';
import { copyWith, valueInfo as infoOf } from '../../../onnx/messages';
import type { NodeProto, ValueInfoProto } from '../../../onnx/proto/onnx_pb';
import { additionsTo, namesIn, withAdditions } from '../edits/graph-additions';
import { renameInputs } from '../edits/node-edits';
import { intAttribute, intsAttribute } from '../graph-index';
import type { GroupSizes } from './head-rule';
import type { NodeChange } from './head-walk';

/** Width pruning of the sublayers of a graph. */
export class GraphWidths {
  private readonly heads = new Map<number, GraphHeads | Message | undefined>();

  public constructor(
    private readonly source: OnnxModel,
    private readonly layersOf: (index: number) => readonly GraphLinear[],
    private readonly shapes: () => ValueShapes,
  ) {}

  /** Undefined if a sublayer can only be removed as a whole. */
  public of(index: number): Width | undefined {
    switch (this.source.summary.sublayers[index]?.kind) {
      case 'feedforward':
        return findChannels(this.source, index, this.matricesOf(index));
      case 'attention':
        return this.graphHeads(index);
      default:
        return undefined;
    }
  }

  /** Reason why the heads of an attention can't be pruned, if known. */
  public problemOf(index: number): Message | undefined {
    const isAttention = this.source.summary.sublayers[index]?.kind === 'attention';
    const found = isAttention ? this.findHeads(index) : undefined;
    return found !== undefined && 'code' in found ? found : undefined;
  }

  /**
   * Returns the file with resized tensors.
   * @param widths indices that each pruned sublayer keeps, by id
   */
  public resized(
    tensors: ReadonlyMap<string, LazyTensor>,
    widths: ReadonlyMap<string, readonly number[]>,
  ): OnnxFile {
    const widthPruned = this.source.summary.sublayers.flatMap(({ id }, index) => {
      const indices = widths.get(id);
      return indices === undefined ? [] : [{ indices, index, heads: this.graphHeads(index) }];
    });
    // Heads determine the sizes of all values that they change.
    const resized = widthPruned.flatMap(({ index, heads }) =>
      heads === undefined
        ? [...(this.source.branches[index]?.nodes ?? [])].flatMap(({ outputs }) => outputs)
        : [],
    );
    return widthPruned.reduce(
      (edited, { indices, heads }) => heads?.resized(edited, indices) ?? edited,
      withTensors(this.source.file, tensors, new Set(resized)),
    );
  }

  private graphHeads(index: number): GraphHeads | undefined {
    const isAttention = this.source.summary.sublayers[index]?.kind === 'attention';
    const found = isAttention ? this.findHeads(index) : undefined;
    return found !== undefined && 'tensors' in found ? found : undefined;
  }

  private findHeads(index: number): GraphHeads | Message | undefined {
    if (!this.heads.has(index)) {
      this.heads.set(index, graphHeads(this.source, index, this.matricesOf(index), this.shapes()));
    }
    return this.heads.get(index);
  }

  private matricesOf(index: number): GraphMatrices {
    return new GraphMatrices(this.source, this.layersOf(index));
  }
}

/** Heads of an attention sublayer, and the parts of the graph that depend on their number besides its weights. */
interface GraphHeads extends Width {
  /** Values that have one slice per group. */
  readonly values: ReadonlyMap<string, GroupPlace>;
  /** Returns the file with the groups `kept`. Its weights are already cut. */
  readonly resized: (file: OnnxFile, kept: readonly number[]) => OnnxFile;
}

interface WidthPrunedGraph {
  readonly values: ReadonlyMap<string, GroupPlace>;
  readonly changes: readonly NodeChange[];
  readonly groups: number;
  readonly shapes: ValueShapes;
}

/** The file whose attention has these of its groups: sizes, attributes and caches follow its weights. */
function withHeads(
  file: OnnxFile,
  { values, changes, groups, shapes }: WidthPrunedGraph,
  kept: readonly number[],
): OnnxFile {
  const additions = additionsTo(file, namesIn(file.graph));
  const left = (size: number): number => Math.round((size * kept.length) / groups);
  const byOutput = new Map(changes.map((change) => [change.node.proto.output[0] ?? '', change]));
  const node = file.graph.node.flatMap((one) => {
    const change = byOutput.get(one.output[0] ?? '');
    if (change === undefined) {
      return [one];
    }
    const { result, nodes } = additions.recorded(() => {
      const names = new Map(
        [...change.chosen].map(([value, { axis, parts }]) => {
          const staying = additions.ints(groupIndices(groups, parts)(kept));
          return [
            value,
            additions.op('Gather', [value, staying], { axis: axisIn(shapes, value, axis) }),
          ];
        }),
      );
      const chosen = renameInputs(one, (name) => names.get(name) ?? name);
      const input = chosen.input.map((name, place) => {
        const size = change.sizes.find((sizes) => sizes.input === place);
        return size === undefined ? name : replaceSizes(additions, shapes, name, size, left);
      });
      return scaled(copyWith(chosen, { input }), change.attributes, left);
    });
    return [...nodes, result];
  });
  const resize = (info: ValueInfoProto): ValueInfoProto => {
    const place = values.get(info.name);
    return place === undefined ? info : withSize(info, place.axis, left);
  };
  const { input, output } = file.graph;
  // Symbolic dimensions may depend on sizes that changed.
  const valueInfo = file.graph.valueInfo.filter(({ name }) => values.get(name)?.isOpen !== true);
  const graph = copyWith(file.graph, {
    ...{ node, input: input.map(resize), output: output.map(resize) },
    valueInfo: valueInfo.map(resize),
  });
  return withAdditions(file, graph, additions, () => true);
}

/** Gather counts axes from the front in all opsets. */
function axisIn(shapes: ValueShapes, value: string, axis: number): number {
  return (shapes.of(value)?.length ?? 0) + axis;
}

/** Emits a size tensor with some sizes replaced. Dynamic sizes are still computed. */
function replaceSizes(
  additions: GraphBuilder,
  shapes: ValueShapes,
  name: string,
  { numbers }: GroupSizes,
  left: (size: number) => number,
): string {
  const contents = shapes.contents(name);
  const known = contents?.filter((one) => typeof one === 'number');
  const rest = contents?.length ?? Number(shapes.of(name)?.[0] ?? 0);
  const each = Array.from({ length: rest }, (_, i) => numbers.get(i));
  if (known !== undefined && known.length === contents?.length) {
    return additions.ints(known.map((one, i) => (each[i] === undefined ? one : left(each[i]))));
  }
  const others = additions.ints(each.map((one) => (one === undefined ? 1 : 0)));
  const replaced = additions.ints(each.map((one) => left(one ?? 0)));
  return additions.op('Add', [additions.op('Mul', [name, others]), replaced]);
}

function scaled(
  node: NodeProto,
  names: readonly string[],
  left: (size: number) => number,
): NodeProto {
  const values = names.map((name) => {
    const several = intsAttribute(node, name) ?? [];
    return [name, several.length > 0 ? several.map(left) : left(intAttribute(node, name, 0))];
  });
  return names.length === 0
    ? node
    : withAttributes(node, Object.fromEntries(values) as Record<string, number | number[]>);
}

/** Returns the type info of a value with another size along an axis, if it has a known size. */
function withSize(
  port: ValueInfoProto,
  axis: number,
  change: (size: number) => number,
): ValueInfoProto {
  if (port.type?.value.case !== 'tensorType') {
    return port;
  }
  const { elemType, shape } = port.type.value.value;
  const sizes = (shape?.dim ?? []).map(({ value }, i, { length }) =>
    value.case === 'dimValue'
      ? (i === axis + length ? change : Number)(Number(value.value))
      : (value.value ?? ''),
  );
  return infoOf(port.name, elemType, sizes);
}

/**
 * Key/value heads of attention sublayer `index`: the smallest groups that remain independent between its matmuls.
 * Returns a reason if there are none.
 */
function graphHeads(
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
