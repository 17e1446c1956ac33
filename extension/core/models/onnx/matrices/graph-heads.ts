import { elementCount } from '../../../checkpoints/lazy-tensor';
import type { OnnxFile } from '../../../checkpoints/onnx-file';
import { copyWith, valueInfo as infoOf } from '../../../onnx/messages';
import type { NodeProto, ValueInfoProto } from '../../../onnx/proto/onnx_pb';
import { stepOf } from '../../narrow/weight-cuts';
import type { WidthTensor } from '../../narrow/weight-cuts';
import type { Width } from '../../narrow/width';
import { additionsTo, namesIn, withAdditions } from '../edits/graph-additions';
import type { GraphNode } from '../graph-index';
import { intAttribute, intsAttribute } from '../node-attributes';
import type { OnnxModel } from '../stream/stream-of-graph';
import type { ValueShapes } from '../values/value-shapes';
import { lazyTensor } from './graph-linears';
import type { GraphMatrices } from './graph-matrices';
import { inputsOf, withAttributes } from './graph-width';

type Places = WidthTensor['places'];

/** Heads of an attention, and what of the graph tells their number besides its weights. */
export interface GraphHeads extends Width {
  /** Values whose last axis holds the heads. */
  readonly rows: ReadonlySet<string>;
  /** The file with weights that are cut already, where `kept` of the groups stay. */
  readonly resized: (file: OnnxFile, kept: number) => OnnxFile;
}

/** Where an operator that attends has its inputs and outputs. */
interface Form {
  /** Queries, keys and values; keys and values are empty where queries hold them too. */
  readonly projected: readonly number[];
  /** Weight and bias of queries, keys and values side by side, where it projects by itself. */
  readonly weight?: number;
  readonly bias?: number;
  /** Added to scores [batch, heads or 1, sequence, positions]. */
  readonly scores: number;
  readonly past: readonly number[];
  /** Outputs of the cache. */
  readonly present: readonly number[];
  /** Axis of heads in a cache. */
  readonly cacheAxis: number;
  /** A number for each query head. */
  readonly byHead?: number;
  /** Inputs that know nothing of heads. */
  readonly others: readonly number[];
  readonly keyHeads?: string;
}

const forms: Readonly<Record<string, Form>> = {
  'com.microsoft:GroupQueryAttention': {
    ...{ projected: [0, 1, 2], past: [3, 4], present: [1, 2], cacheAxis: 1 },
    ...{ scores: 10, byHead: 11, others: [5, 6, 7, 8, 9], keyHeads: 'kv_num_heads' },
  },
  'com.microsoft:MultiHeadAttention': {
    ...{ projected: [0, 1, 2], bias: 3, past: [6, 7], present: [1, 2], cacheAxis: 1 },
    ...{ scores: 5, others: [4] },
  },
  'com.microsoft:Attention': {
    ...{ projected: [], weight: 1, bias: 2, past: [4], present: [1], cacheAxis: 2 },
    ...{ scores: 5, others: [0, 3] },
  },
};

/** Pass the rows of heads on as they are. */
const passing: ReadonlySet<string> = new Set(['Cast', 'Identity']);
const rotates = 'com.microsoft:RotaryEmbedding';
const norms: ReadonlySet<string> = new Set([
  ...['LayerNormalization', 'SimplifiedLayerNormalization', 'RMSNormalization'],
]);

/** Collects what of an attention has a place for each head. */
class Heads {
  public readonly tensors: WidthTensor[] = [];
  /** Attributes that are numbers of heads, or of all of their values, by the first output of their node. */
  public readonly attributes = new Map<string, string[]>();
  /** The sizes that a Reshape or Split reads, by its first output, and which of them tell of all heads. */
  public readonly sizes = new Map<
    string,
    { readonly numbers: readonly number[]; readonly places: readonly number[] }
  >();
  /** Of rows that are split, what each output holds of a group. */
  private readonly splits = new Map<GraphNode, Map<number, number>>();
  private readonly nodes = new Set<GraphNode>();
  /** Values whose last axis holds the heads. */
  public readonly values = new Set<string>();
  /** Those that hold them otherwise. */
  private readonly inner = new Set<string>();

  public constructor(
    private readonly source: OnnxModel,
    private readonly matrices: GraphMatrices,
    private readonly shapes: ValueShapes,
    private readonly groups: number,
  ) {}

  /** Numbers of a row that belong to each group, up to the product that makes them; undefined where that is not known. */
  public rows(value: string, parts: readonly number[]): boolean {
    const { initializers } = this.source.file;
    const node = this.source.index.producers.get(value);
    if (node === undefined || this.source.index.outputs.has(value)) {
      return false;
    }
    this.values.add(value);
    this.nodes.add(node);
    const matrix = this.matrices.of(node);
    const [first = '', second = ''] = node.inputs;
    if (matrix !== undefined) {
      const { out, linear, bias } = matrix;
      const isWhole = out === this.groups * sum(parts);
      this.tensors.push({
        ...{ tensor: linear.weight, axis: linear.transposed === true ? 1 : 0 },
        places: this.placesOf(parts),
      });
      return isWhole && (bias === '' || this.list(bias, parts));
    }
    if (passing.has(node.op)) {
      return this.rows(first, parts);
    }
    if (node.op === 'Add') {
      const [list, rows] = initializers.has(first) ? [first, second] : [second, first];
      return this.list(list, parts) && this.rows(rows, parts);
    }
    if (node.op === rotates) {
      if (intAttribute(node.proto, 'num_heads', 0) !== 0) {
        this.attributes.set(node.outputs[0] ?? '', ['num_heads']);
      }
      return this.rows(first, parts);
    }
    if (node.op === 'Split' && parts.length === 1) {
      const outputs = this.splits.get(node) ?? new Map<number, number>();
      this.splits.set(node, outputs.set(node.outputs.indexOf(value), sum(parts)));
      return true;
    }
    return node.op === 'Reshape' && this.normed(node, parts);
  }

  /** Whether all outputs of nodes that split rows have been followed, and what they split is known. */
  public joined(): boolean {
    return [...this.splits].every(([node, outputs]) => {
      const parts = node.outputs.map((_, i) => outputs.get(i) ?? 0);
      const numbers = this.numbers(node.inputs[1]) ?? [];
      this.sizes.set(node.outputs[0] ?? '', { numbers, places: [...parts.keys()] });
      return (
        parts.every((part, i) => part > 0 && numbers[i] === part * this.groups) &&
        this.rows(node.inputs[0] ?? '', parts)
      );
    });
  }

  /** Heads that are normed each by itself, between two reshapes. */
  private normed(back: GraphNode, parts: readonly number[]): boolean {
    const { producers } = this.source.index;
    const norm = producers.get(back.inputs[0] ?? '');
    const split = producers.get(norm?.inputs[0] ?? '');
    const size = this.groups * sum(parts);
    const [whole, single] = [this.numbers(back.inputs[1]), this.numbers(split?.inputs[1])];
    const scale = this.source.file.initializers.get(norm?.inputs[1] ?? '');
    const head = single?.at(-1) ?? 0;
    if (
      norm === undefined ||
      split?.op !== 'Reshape' ||
      !norms.has(norm.op) ||
      whole?.at(-1) !== size ||
      elementCount(scale?.dims ?? []) !== head ||
      // Between batch and heads the sizes have to follow from the others.
      single?.length !== 3 ||
      single[1] !== -1 ||
      size % head !== 0
    ) {
      return false;
    }
    [norm, split].forEach((one) => {
      this.nodes.add(one);
      this.inner.add(one.outputs[0] ?? '');
    });
    this.sizes.set(back.outputs[0] ?? '', { numbers: whole, places: [whole.length - 1] });
    return this.rows(split.inputs[0] ?? '', parts);
  }

  /** A list with a number for each value of a row; or (`hasRows`) a matrix with a column for each. */
  public list(name: string, parts: readonly number[], hasRows = false): boolean {
    const data = this.source.file.initializers.get(name);
    const [tensor] = data === undefined ? [] : lazyTensor(data);
    const isOwn = this.source.index.consumersOf(name).length === 1;
    const size = this.groups * sum(parts);
    if (tensor === undefined || !isOwn || tensor.shape.at(-1) !== size) {
      return false;
    }
    const axis = tensor.shape.length - 1;
    this.tensors.push({ tensor, axis, places: this.placesOf(parts) });
    return hasRows || elementCount(tensor.shape) === size;
  }

  /** Whether nothing reads the rows but what has been followed, and the operator that attends. */
  public isClosed(attends: GraphNode): boolean {
    const { index } = this.source;
    return [...this.values, ...this.inner].every((value) =>
      index.consumersOf(value).every((reader) => reader === attends || this.nodes.has(reader)),
    );
  }

  /** Places of groups in rows that hold all groups' values of one kind, then those of the next. */
  public placesOf(parts: readonly number[]): Places {
    return (kept) => {
      let start = 0;
      return parts.flatMap((length) => {
        const first = start;
        start += this.groups * length;
        return kept.flatMap((group) =>
          Array.from({ length }, (_, i) => first + group * length + i),
        );
      });
    };
  }

  private numbers(name = ''): readonly number[] | undefined {
    const contents = this.shapes.contents(name);
    const numbers = contents?.filter((one) => typeof one === 'number');
    return numbers?.length === contents?.length ? numbers : undefined;
  }
}

const sum = (parts: readonly number[]): number => parts.reduce((all, part) => all + part, 0);

/** The key/value heads of attention `index`, where one operator attends. */
export function headsOf(
  source: OnnxModel,
  index: number,
  matrices: GraphMatrices,
  shapes: ValueShapes,
): GraphHeads | undefined {
  const nodes = [...(source.branches[index]?.nodes ?? [])];
  const [node, ...others] = nodes.filter(({ op }) => forms[op] !== undefined);
  const form = forms[node?.op ?? ''];
  const output = matrices.last(index);
  if (node === undefined || form === undefined || output === undefined || others.length > 0) {
    return undefined;
  }
  const count = intAttribute(node.proto, 'num_heads', 0);
  const groups = form.keyHeads === undefined ? count : intAttribute(node.proto, form.keyHeads, 0);
  const size = output.in / count;
  if (
    source.place !== undefined ||
    !knowsInputs(source, node, form, shapes) ||
    !isRead(source, node, output.input) ||
    !(Number.isInteger(count / groups) && Number.isInteger(size))
  ) {
    return undefined;
  }
  const heads = new Heads(source, matrices, shapes, groups);
  const isKnown = followed(heads, node, form, (count / groups) * size, size) && heads.joined();
  if (!isKnown || !heads.isClosed(node)) {
    return undefined;
  }
  const tensors = [
    ...heads.tensors,
    inputsOf(output.linear, heads.placesOf([(count / groups) * size])),
  ];
  const rows = new Set([...heads.values, node.outputs[0] ?? '']);
  const step = stepOf(tensors);
  return step === undefined || step >= groups
    ? undefined
    : {
        ...{ of: 'groups', count: groups, step, tensors, output: output.linear, rows },
        resized: (file, kept) => {
          const { attributes, sizes } = heads;
          return withHeads(file, node, form, { attributes, sizes, rows }, kept / groups);
        },
      };
}

/** Whether what makes queries, keys and values of an operator is known. */
function followed(
  heads: Heads,
  { proto }: GraphNode,
  form: Form,
  perGroup: number,
  size: number,
): boolean {
  const inputs = form.projected.map((place) => proto.input[place] ?? '');
  const [query = '', key = '', value = ''] = inputs;
  const side = [perGroup, size, size];
  const isEmpty = (place: number | undefined): boolean =>
    place === undefined || (proto.input[place] ?? '') === '';
  const weight = form.weight === undefined ? undefined : (proto.input[form.weight] ?? '');
  const lists: readonly (readonly [place: number | undefined, parts: readonly number[]])[] = [
    [form.bias, side],
    [form.byHead, [perGroup / size]],
  ];
  return (
    (weight === undefined
      ? key === ''
        ? value === '' && heads.rows(query, side)
        : heads.rows(query, [perGroup]) && heads.rows(key, [size]) && heads.rows(value, [size])
      : heads.list(weight, side, true)) &&
    lists.every(
      ([place, parts]) => isEmpty(place) || heads.list(proto.input[place ?? 0] ?? '', parts),
    )
  );
}

/** Whether all other inputs of an operator are caches of the graph, or know nothing of single heads. */
function knowsInputs(
  { index }: OnnxModel,
  { proto }: GraphNode,
  { projected, weight, bias, scores, past, byHead, others, present }: Form,
  shapes: ValueShapes,
): boolean {
  const known = new Set([...projected, ...past, ...others, weight, bias, scores, byHead]);
  const given = new Set(index.inputs.map(({ name }) => name));
  return (
    proto.input.every((name, place) => name === '' || known.has(place)) &&
    past.every((place) => {
      const name = proto.input[place] ?? '';
      return name === '' || (given.has(name) && index.consumersOf(name).length === 1);
    }) &&
    present.every((place) => index.consumersOf(proto.output[place] ?? '').length === 0) &&
    ((proto.input[scores] ?? '') === '' || shapes.of(proto.input[scores] ?? '')?.[1] === 1)
  );
}

/** Whether the product reads what the operator gives, and nothing else does. */
function isRead({ index }: Pick<OnnxModel, 'index'>, node: GraphNode, value: string): boolean {
  if (index.outputs.has(value) || index.consumersOf(value).length !== 1) {
    return false;
  }
  const producer = index.producers.get(value);
  return (
    producer === node ||
    (producer !== undefined &&
      passing.has(producer.op) &&
      isRead({ index }, node, producer.inputs[0] ?? ''))
  );
}

/** The file whose attention has this share of its heads. */
function withHeads(
  file: OnnxFile,
  { proto: attends }: GraphNode,
  form: Form,
  { attributes, sizes: told, rows }: Pick<Heads, 'attributes' | 'sizes'> & Pick<GraphHeads, 'rows'>,
  share: number,
): OnnxFile {
  const additions = additionsTo(file, namesIn(file.graph));
  const left = (size: number): number => Math.round(size * share);
  const scaled = (node: NodeProto, names: readonly string[]): NodeProto =>
    withAttributes(
      node,
      Object.fromEntries(names.map((name) => [name, left(intAttribute(node, name, 0))])),
    );
  const node = file.graph.node.map((one) => {
    const [output = ''] = one.output;
    if (output === attends.output[0]) {
      const sizes = intsAttribute(one, 'qkv_hidden_sizes');
      const own = scaled(one, [
        'num_heads',
        ...(form.keyHeads === undefined ? [] : [form.keyHeads]),
      ]);
      return sizes === undefined ? own : withAttributes(own, { qkv_hidden_sizes: sizes.map(left) });
    }
    const sizes = told.get(output);
    if (sizes !== undefined) {
      const { numbers, places } = sizes;
      const shape = numbers.map((size, i) => (places.includes(i) ? left(size) : size));
      return copyWith(one, { input: [one.input[0] ?? '', additions.ints(shape)] });
    }
    const names = attributes.get(output);
    return names === undefined ? one : scaled(one, names);
  });
  const ports = new Set([
    ...form.past.map((place) => attends.input[place] ?? ''),
    ...form.present.map((place) => attends.output[place] ?? ''),
  ]);
  const resize = (port: ValueInfoProto): ValueInfoProto =>
    ports.has(port.name) ? withSize(port, form.cacheAxis, left) : port;
  const { input, output, valueInfo } = file.graph;
  const graph = copyWith(file.graph, {
    ...{ node, input: input.map(resize), output: output.map(resize) },
    valueInfo: valueInfo.map((info) => (rows.has(info.name) ? withSize(info, -1, left) : info)),
  });
  return withAdditions(file, graph, additions, () => true);
}

/** What is told of a value, with another size along an axis (−1 for the last), where that is told. */
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
      ? (i === (axis + length) % length ? change : Number)(Number(value.value))
      : (value.value ?? ''),
  );
  return infoOf(port.name, elemType, sizes);
}
