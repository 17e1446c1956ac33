import { elementCount } from '../../../checkpoints/lazy-tensor';
import { say } from '../../../message';
import type { Message } from '../../../message';
import type { WidthTensor } from '../../width-pruning/weight-cuts';
import { isShape, intsAttribute, intAttribute } from '../graph-index';
import type { GraphNode, GraphIndex } from '../graph-index';
import { lazyTensor } from '../matrices/graph-linears';
import type { GraphMatrices, GraphMatrix } from '../matrices/graph-matrices';
import { nodeName } from '../stream/measure-sublayer';
import { isPast, isPresent } from '../stream/cache-ports';
import type { OnnxModel } from '../stream/graph-stream';
import type { ValueShapes } from '../values/value-shapes';
import { isSamePlace, placeLength, groupIndices, sum } from './group-places';
import type { GroupPlace } from './group-places';
import { fusedRules } from './fused-rules';
import { headRules } from './head-rules';
import type { GroupSizes } from './head-rule';

/** Inputs and attributes of a node, except weights, that depend on the number of heads. */
export interface NodeChange {
  readonly node: GraphNode;
  readonly sizes: readonly GroupSizes[];
  readonly attributes: readonly string[];
  /** Values from outside the attention with one slice per head, such as position biases. */
  readonly chosen: ReadonlyMap<string, GroupPlace>;
}

interface Follower {
  readonly inputs: Set<number>;
  readonly outputs: Set<number>;
  readonly sizes: GroupSizes[];
  readonly attributes: Set<string>;
  readonly chosen: Map<string, GroupPlace>;
}

interface Piece {
  readonly from: number;
  readonly to: number;
  readonly place: GroupPlace;
}

/** Operators that pass the number of heads through. */
const passing: ReadonlySet<string> = new Set([
  ...['Cast', 'Identity', 'Squeeze', 'Unsqueeze'],
  ...['Add', 'Sub', 'Mul', 'Div', 'Equal', 'Where', 'Min', 'Max', 'Mod'],
]);

/** Returns the indices in a size input that are rewritten for fewer heads. */
type RewrittenIndices = (node: GraphNode, input: number) => ReadonlySet<number>;

/**
 * True if the number of heads that `shape` reads from a value with this place is used only as that number, so that no
 * other size changes.
 */
function countsStay(
  index: GraphIndex,
  shapes: ValueShapes,
  shape: GraphNode,
  place: GroupPlace,
  rewritten: RewrittenIndices,
): boolean {
  const numbers = (name = ''): readonly number[] | undefined => {
    const found = shapes.contents(name)?.map(Number);
    return found?.some(Number.isNaN) === true ? undefined : found;
  };
  const elementCount = (name: string): number | undefined => {
    const sizes = shapes.of(name);
    const [length = 1] = sizes ?? [];
    return sizes === undefined || typeof length !== 'number' ? undefined : length;
  };
  /** Indices of the counts in the first output; undefined if unknown. */
  const outputIndices = (
    node: GraphNode,
    value: string,
    marked: ReadonlySet<number>,
  ): readonly number[] | undefined => {
    const { input, output } = node.proto;
    const length = elementCount(value);
    if (length === undefined) {
      return undefined;
    }
    const at = (number: number): number => (number < 0 ? number + length : number);
    if (passing.has(node.op) || (node.op === 'Reshape' && input[1] !== value)) {
      const made = elementCount(output[0] ?? '');
      return length === made
        ? [...marked]
        : made === undefined
          ? undefined
          : Array.from({ length: made }, (_, i) => i);
    }
    switch (node.op) {
      case 'Gather':
        return input[0] === value
          ? numbers(input[1])?.flatMap((number, i) => (marked.has(at(number)) ? [i] : []))
          : undefined;
      case 'Slice': {
        const [[start], [end]] = [numbers(input[1]) ?? [], numbers(input[2]) ?? []];
        const step = (input[4] ?? '') === '' ? 1 : numbers(input[4])?.[0];
        const isKnown = start !== undefined && end !== undefined && step === 1;
        return isKnown && input[0] === value
          ? [...marked].flatMap((one) =>
              one >= at(start) && one < at(end) ? [one - at(start)] : [],
            )
          : undefined;
      }
      case 'Concat': {
        const lengths = input.map(elementCount);
        const before = (place: number): number =>
          lengths.slice(0, place).reduce<number>((all, one) => all + (one ?? Number.NaN), 0);
        const found = input.flatMap((name, i) =>
          name === value ? [...marked].map((one) => before(i) + one) : [],
        );
        return found.some(Number.isNaN) ? undefined : found;
      }
      default:
        return undefined;
    }
  };
  const stay = (value: string, marked: ReadonlySet<number>): boolean =>
    marked.size === 0 ||
    (!index.outputs.has(value) &&
      index.consumersOf(value).every((node) => {
        const { input, output } = node.proto;
        if ((node.op === 'Reshape' || node.op === 'Expand') && input[1] === value) {
          const again = rewritten(node, 1);
          return input[0] !== value && [...marked].every((one) => again.has(one));
        }
        const behind = node.op === 'Shape' ? [] : outputIndices(node, value, marked);
        return behind !== undefined && stay(output[0] ?? '', new Set(behind));
      }));
  const rank = shapes.of(shape.proto.input[0] ?? '')?.length;
  const from = intAttribute(shape.proto, 'start', 0);
  if (rank === undefined) {
    return false;
  }
  const one = rank + place.axis - (from < 0 ? from + rank : from);
  const length = elementCount(shape.proto.output[0] ?? '');
  const isCounted = one >= 0 && (length === undefined || one < length);
  return stay(shape.proto.output[0] ?? '', new Set(isCounted ? [one] : []));
}

/** Traces the places of `groups` heads from the last matmul of an attention back to its projections. */
export class HeadWalk {
  public readonly tensors: WidthTensor[] = [];
  /** Values that have a place for each group, caches of the graph included. */
  public readonly values = new Map<string, GroupPlace>();
  /** Reason why the output of a node can't be split by heads. */
  public problem: Message | undefined;
  private readonly nodes = new Map<GraphNode, Follower>();
  /** Cache outputs of fused attention operators. */
  private readonly presents = new Set<string>();
  private readonly pieces = new Map<string, Piece[]>();
  /** Values computed from the projections of this attention. Other values come from outside it. */
  private readonly own: ReadonlySet<string>;

  public constructor(
    private readonly source: OnnxModel,
    private readonly matrices: GraphMatrices,
    private readonly shapes: ValueShapes,
    private readonly last: GraphMatrix,
    private readonly groups: number,
    private readonly products: readonly GraphNode[],
  ) {
    const { index } = source;
    const made = products.flatMap(({ outputs }) => outputs);
    const behind = index.descendants(made, last.node.outputs[0]);
    this.own = new Set([...made, ...[...behind].flatMap(({ outputs }) => outputs)]);
  }

  public get changes(): NodeChange[] {
    return [...this.nodes].map(([node, { sizes, attributes, chosen }]) => ({
      ...{ node, sizes, chosen, attributes: [...attributes] },
    }));
  }

  /** True if the heads can be separated and nothing else reads them. */
  public run(): boolean {
    const parts = [this.last.in / this.groups];
    return (
      this.follow(this.last.input, { axis: -1, parts }) &&
      this.joined() &&
      this.isClosed() &&
      this.products.every((node) => !this.isShared(node))
    );
  }

  /** True if several groups read the output of a projection, such as keys shared by query heads. */
  private isShared(product: GraphNode): boolean {
    const { index } = this.source;
    const seen = new Set<GraphNode>();
    const open = this.nodes.has(product) ? [] : [...product.outputs];
    for (let value = open.pop(); value !== undefined; value = open.pop()) {
      for (const node of index.consumersOf(value)) {
        if (node === this.last.node) {
          this.problem = say`All of its heads read the output of ${nodeName(product)}.`;
          return true;
        }
        const isParted = this.nodes.has(node) && this.products.includes(node);
        if (!seen.has(node) && !isParted && !isShape(node)) {
          seen.add(node);
          open.push(...node.outputs);
        }
      }
    }
    return false;
  }

  private follow(value: string, place: GroupPlace): boolean {
    const known = this.values.get(value);
    if (known !== undefined) {
      return isSamePlace(known, place) || this.stop(this.source.index.producers.get(value));
    }
    const { index } = this.source;
    const node = index.producers.get(value);
    this.values.set(value, place);
    if (node === undefined) {
      return isPast(value);
    }
    const follower = this.followerOf(node);
    const output = node.proto.output.indexOf(value);
    follower.outputs.add(output);
    // Fused attention with its own projections is both a matmul and a rule.
    const matrix = fusedRules[node.op] === undefined ? this.matrices.of(node) : undefined;
    if (matrix !== undefined && place.axis === -1) {
      return this.product(node, matrix, place);
    }
    const answer = headRules[node.op]?.({
      ...{ node, output, place, groups: this.groups },
      shape: (name) => this.shapes.of(name),
      contents: (name) => this.shapes.contents(name),
    });
    if (answer === undefined) {
      return this.stop(node);
    }
    const { follows, caches = [], gives = [], sizes = [], attributes = [], piece } = answer;
    follower.sizes.push(...sizes);
    attributes.forEach((name) => follower.attributes.add(name));
    for (const [one, at] of gives) {
      const name = node.proto.output[one] ?? '';
      follower.outputs.add(one);
      this.presents.add(name);
      this.values.set(name, at);
    }
    for (const [input, at] of caches) {
      const name = node.proto.input[input] ?? '';
      follower.inputs.add(input);
      this.values.set(name, at);
      if (!index.inputs.some((port) => port.name === name)) {
        return this.stop(node);
      }
    }
    if (piece !== undefined) {
      const name = node.proto.input[0] ?? '';
      follower.inputs.add(0);
      this.pieces.set(name, [...(this.pieces.get(name) ?? []), piece]);
    }
    return follows.every(([input, at]) => this.demand(node, input, at));
  }

  /** Follows an input, or takes the heads that stay out of it. */
  private demand(node: GraphNode, input: number, place: GroupPlace): boolean {
    const { index, file } = this.source;
    const value = node.proto.input[input] ?? '';
    const data = file.initializers.get(value);
    const size = placeLength(place, this.groups);
    const follower = this.followerOf(node);
    if (this.own.has(value) || isPast(value)) {
      follower.inputs.add(input);
      return this.follow(value, place);
    }
    if (size === undefined) {
      return this.stop(node);
    }
    const [tensor] = data === undefined ? [] : lazyTensor(data);
    if (tensor !== undefined && index.consumersOf(value).length === 1) {
      const axis = tensor.shape.length + place.axis;
      this.tensors.push({ tensor, axis, places: groupIndices(this.groups, place.parts) });
      return tensor.shape[axis] === size;
    }
    // Matrices that are compressed or have other readers.
    if (data !== undefined && elementCount(data.dims) > size && node.op === 'MatMul') {
      return this.stop(node);
    }
    follower.chosen.set(value, place);
    return this.shapes.of(value)?.at(place.axis) === size || this.stop(node);
  }

  private product(node: GraphNode, matrix: GraphMatrix, place: GroupPlace): boolean {
    const { out, linear, bias } = matrix;
    const size = this.groups * sum(place.parts);
    const places = groupIndices(this.groups, place.parts);
    this.tensors.push({
      ...{ tensor: linear.weight, axis: linear.transposed === true ? 1 : 0, places },
    });
    const isOne = elementCount(this.source.file.initializers.get(bias)?.dims ?? [0]) === 1;
    const at = node.proto.input.indexOf(bias);
    return out === size && (bias === '' || isOne || this.demand(node, at, place));
  }

  /** Continues with values whose parts were all found. Returns false if a part is missing or unsupported. */
  private joined(): boolean {
    for (let [entry] = this.pieces; entry !== undefined; [entry] = this.pieces) {
      const [value, pieces] = entry;
      const sortedPieces = pieces.toSorted((a, b) => a.from - b.from);
      const axis = sortedPieces[0]?.place.axis ?? -1;
      let end = 0;
      for (const { from, to, place } of sortedPieces) {
        if (from !== end || to - from !== this.groups * sum(place.parts) || place.axis !== axis) {
          return this.stop(this.source.index.producers.get(value));
        }
        end = to;
      }
      this.pieces.delete(value);
      const parts = sortedPieces.flatMap(({ place }) => place.parts);
      // All outputs of a split are followed where its size is not known.
      const isWhole = (this.shapes.of(value)?.at(axis) ?? end) === end;
      if (!isWhole || !this.follow(value, { axis, parts })) {
        return isWhole ? false : this.stop(this.source.index.producers.get(value));
      }
    }
    return true;
  }

  /** True if only traced nodes and the last matmul read the heads. */
  private isClosed(): boolean {
    const { index } = this.source;
    return (
      [...this.values].every(([value, place]) => this.isRead(value, place)) &&
      [...this.nodes].every(([node, { outputs }]) =>
        node.proto.output.every(
          (name, output) =>
            outputs.has(output) ||
            (!index.outputs.has(name) &&
              !index.consumersOf(name).some((reader) => index.isLive(reader))) ||
            this.stop(node),
        ),
      )
    );
  }

  /** True if all consumers of a value are traced, or read sizes that don't change. */
  private isRead(value: string, place: GroupPlace): boolean {
    const { index } = this.source;
    const isGiven = !index.outputs.has(value) || isPresent(value) || this.presents.has(value);
    const readers = index.consumersOf(value);
    return isGiven
      ? readers.every(
          (reader) =>
            !index.isLive(reader) || this.isKnown(reader, value, place) || this.stop(reader),
        )
      : this.stop(index.producers.get(value));
  }

  private isKnown(reader: GraphNode, value: string, place: GroupPlace): boolean {
    if (reader === this.last.node) {
      return true;
    }
    const [output = ''] = reader.proto.output;
    const order = intsAttribute(reader.proto, 'perm');
    if (reader.op === 'Transpose' && order !== undefined && !this.values.has(output)) {
      // Older exporters transpose keys to count their positions.
      const axis = order.indexOf(order.length + place.axis) - order.length;
      return this.isRead(output, { ...place, axis });
    }
    if (reader.op === 'Shape') {
      return countsStay(this.source.index, this.shapes, reader, place, (node, input) => {
        const change = this.nodes.get(node)?.sizes.find((one) => one.input === input);
        return new Set(change?.numbers.keys());
      });
    }
    const inputs = this.nodes.get(reader)?.inputs;
    return reader.proto.input.every((name, input) => name !== value || inputs?.has(input) === true);
  }

  private followerOf(node: GraphNode): Follower {
    const known = this.nodes.get(node);
    if (known !== undefined) {
      return known;
    }
    const inputs = new Set<number>();
    const made = { inputs, outputs: new Set<number>(), attributes: new Set<string>() };
    const follower: Follower = { ...made, sizes: [], chosen: new Map() };
    this.nodes.set(node, follower);
    return follower;
  }

  private stop(node: GraphNode | undefined): false {
    this.problem ??=
      node === undefined
        ? undefined
        : say`The inputs of ${nodeName(node)} that belong to a head are unknown.`;
    return false;
  }
}
