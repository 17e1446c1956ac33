import { fusedNormScale } from '../../onnx/normalization-nodes';
import { TensorProto_DataType as DataType } from '../../onnx/proto/onnx_pb';
import type { GraphProto, NodeProto, TensorProto, ValueInfoProto } from '../../onnx/proto/onnx_pb';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import { say } from '../../message';
import type { Message } from '../../message';

/** Node of the main graph, the add or the norm of a fused skip norm, or the remainder of a quantized sum. */
export interface GraphNode {
  /** Index in topological order. */
  readonly order: number;
  readonly proto: NodeProto;
  /** Operator, with its domain if it isn't ONNX's default. */
  readonly op: string;
  /** Inputs, including values that its nested graphs use. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** Adds of ONNX Runtime that normalize what they have added; the sum is their fourth output. */
const skipNorms: Readonly<Record<string, string>> = {
  'com.microsoft:SkipLayerNormalization': 'LayerNormalization',
  'com.microsoft:SkipSimplifiedLayerNormalization': 'SimplifiedLayerNormalization',
};

/** Parts of a fused add and norm. */
export interface SkipNorm {
  /** The operator of its second half. */
  readonly norm: string;
  /** Addends. */
  readonly terms: readonly string[];
  /** Scale and shift of the norm. */
  readonly scale: readonly string[];
  /** Name of its sum; empty if the node doesn't output it. */
  readonly sum: string;
}

export function findSkipNorm(proto: NodeProto): SkipNorm | undefined {
  const norm = skipNorms[operatorName(proto)];
  if (norm === undefined) {
    return undefined;
  }
  const [input = '', skip = '', ...parameters] = proto.input;
  const scales = norm === 'LayerNormalization' ? 2 : 1;
  const present = (names: readonly string[]): string[] => names.filter((name) => name !== '');
  return {
    norm,
    terms: present([input, skip, parameters[scales] ?? '']),
    scale: present(parameters.slice(0, scales)),
    sum: proto.output[3] ?? '',
  };
}

const embedding = 'com.microsoft:EmbedLayerNormalization';

/** True for a fused embedding lookup, sum and norm. The stream begins with the sum. */
export function isEmbeddingWithNorm(proto: NodeProto): boolean {
  return operatorName(proto) === embedding && (proto.output[2] ?? '') !== '';
}

/** Quantized add, in which both terms and the sum have their own scales. */
const quantizedSum = 'com.microsoft:QLinearAdd';
/** Input indices of the two terms. */
const quantizedTerms = [0, 3];

/** Pseudo-operator for a term of a quantized sum in the scale of the sum; unused while the sum exists. */
export const requantized = 'requantized';

/** Name of the value that replaces a quantized sum reduced to `term`; undefined for other nodes. */
export function quantizedRest({ proto }: GraphNode, term: string): string | undefined {
  const place = isQuantizedSum(proto) ? proto.input.indexOf(term) : -1;
  return quantizedTerms.includes(place) ? restName(proto, place) : undefined;
}

export function isQuantizedSum(proto: NodeProto): boolean {
  return operatorName(proto) === quantizedSum;
}

function restName({ output: [sum = ''] }: NodeProto, place: number): string {
  return `${sum}\0${place}`;
}

/** Total step limit of {@link GraphIndex.between}. 64 blocks of 228 nodes each take 7e7 steps. */
const maxSteps = 2e9;
/** Steps counted per node that {@link GraphIndex.between} returns, because it also takes memory. */
const stepsPerNode = 500;

/** Producer and consumers of each value of a graph. */
export class GraphIndex {
  /** In topological order. */
  public readonly nodes: readonly GraphNode[];
  public readonly producers = new Map<string, GraphNode>();
  public readonly consumers = new Map<string, GraphNode[]>();
  private live: ReadonlySet<GraphNode> | undefined;
  /** Values that no input of the graph has an influence on. */
  public readonly constants: ReadonlySet<string>;
  /** Values computed only from token ids, positions, shapes and scalars, such as masks. */
  public readonly dataless: ReadonlySet<string>;
  public readonly inputs: readonly ValueInfoProto[];
  public readonly outputs: ReadonlySet<string>;
  /** For each node, indices of the nodes that produce its inputs, without shape computations. */
  private readonly sources: readonly (readonly number[])[];
  private steps = 0;

  /**
   * @param outer Constants of the graph around this one.
   * @throws UserError when the graph makes a value twice or needs itself.
   */
  public constructor(
    graph: Pick<GraphProto, 'node' | 'initializer' | 'input' | 'output'>,
    private readonly file: string,
    outer: Iterable<string> = [],
  ) {
    const unordered = graph.node.flatMap(split);
    this.nodes = sortNodes(unordered, file);
    const given = new Set([...graph.input, ...graph.initializer].map(({ name }) => name));
    for (const node of this.nodes) {
      for (const output of node.outputs) {
        if (given.has(output)) {
          throw damaged(
            'onnx-value-redefined',
            say`A node produces this value, which is also a weight or an input.`,
            file,
            output,
          );
        }
        this.producers.set(output, node);
      }
      for (const input of new Set(node.inputs)) {
        const readers = this.consumers.get(input);
        if (readers === undefined) {
          this.consumers.set(input, [node]);
        } else {
          readers.push(node);
        }
      }
    }
    this.inputs = graph.input;
    this.sources = this.nodes.map((node) =>
      isShape(node) ? [] : node.inputs.flatMap((input) => this.producers.get(input)?.order ?? []),
    );
    this.outputs = new Set(graph.output.map(({ name }) => name));
    const constants = new Set([...outer, ...graph.initializer.map(({ name }) => name)]);
    for (const node of this.nodes) {
      if (node.inputs.every((input) => constants.has(input))) {
        node.outputs.forEach((output) => constants.add(output));
      }
    }
    this.constants = constants;
    const matrices = new Set(graph.initializer.filter(isMatrix).map(({ name }) => name));
    const single = [...graph.initializer, ...graph.input.filter(isInteger)]
      .map(({ name }) => name)
      .filter((name) => !matrices.has(name));
    const dataless = new Set(single);
    for (const node of this.nodes) {
      const isFree = isShape(node) || node.inputs.every((input) => dataless.has(input));
      if (isFree && !node.proto.attribute.some(({ t }) => t !== undefined && isMatrix(t))) {
        node.outputs.forEach((output) => dataless.add(output));
      }
    }
    this.dataless = dataless;
  }

  public consumersOf(value: string): readonly GraphNode[] {
    return this.consumers.get(value) ?? [];
  }

  /** True if an output of the graph depends on the node. */
  public isLive(node: GraphNode): boolean {
    this.live ??= this.findLive();
    return this.live.has(node);
  }

  private findLive(): ReadonlySet<GraphNode> {
    const live = new Set<GraphNode>();
    const open = [...this.outputs];
    for (let value = open.pop(); value !== undefined; value = open.pop()) {
      const node = this.producers.get(value);
      if (node !== undefined && !live.has(node)) {
        live.add(node);
        open.push(...node.inputs);
      }
    }
    return live;
  }

  private spend(steps: number): void {
    this.steps += steps;
    if (this.steps > maxSteps) {
      throw new UserError(
        'graph-not-traceable',
        say`Its sums are connected in too many ways to trace.`,
        {
          file: this.file,
          remedy: say`This is not a graph of layers: choose another model.`,
        },
      );
    }
  }

  /**
   * Nodes on all paths from `source` to `target`; empty if there is no path. Paths through a shape computation don't
   * count, because they carry no data.
   * @throws UserError if the search would take minutes, for graphs designed to be slow
   */
  public between(source: string, target: string): ReadonlySet<GraphNode> {
    const from = this.producers.get(source)?.order ?? -1;
    const last = this.producers.get(target)?.order ?? -1;
    const found = new Set<GraphNode>();
    if (last <= from) {
      return found;
    }
    this.spend(last - from);
    const needed = new Uint8Array(last + 1);
    needed[last] = 1;
    for (let order = last; order > from; order--) {
      if (needed[order] === 1) {
        for (const producer of this.sources[order] ?? []) {
          needed[producer] = 1;
        }
      }
    }
    const reached = new Uint8Array(last + 1);
    for (let order = from + 1; order <= last; order++) {
      const node = needed[order] === 1 ? this.nodes[order] : undefined;
      if (node === undefined || isShape(node)) {
        continue;
      }
      const isReached = (producer: number): boolean => reached[producer] === 1;
      if (node.inputs.includes(source) || this.sources[order]?.some(isReached) === true) {
        reached[order] = 1;
        found.add(node);
      }
    }
    this.spend(found.size * stepsPerNode);
    return found;
  }

  /** Nodes that depend on `values` through more than shapes. Nodes that read only `border` are excluded. */
  public descendants(values: Iterable<string>, border?: string): ReadonlySet<GraphNode> {
    const found = new Set<GraphNode>();
    const open = [...values];
    for (let value = open.pop(); value !== undefined; value = open.pop()) {
      for (const node of value === border ? [] : this.consumersOf(value)) {
        if (!found.has(node) && !isShape(node)) {
          found.add(node);
          node.outputs.forEach((output) => open.push(output));
        }
      }
    }
    return found;
  }
}

function isMatrix({ dims }: TensorProto): boolean {
  return dims.filter((size) => size > 1n).length > 1;
}

/** Types of token ids, positions and masks. */
const integers: ReadonlySet<number | undefined> = new Set([
  DataType.INT32,
  DataType.INT64,
  DataType.BOOL,
]);

function isInteger({ type }: ValueInfoProto): boolean {
  return type?.value.case === 'tensorType' && integers.has(type.value.value.elemType);
}

/** Operator name, with its domain if it isn't ONNX's default. */
export function operatorName({ opType, domain }: NodeProto): string {
  return domain === '' || domain === 'ai.onnx' ? opType : `${domain}:${opType}`;
}

/** True if a node reads only the shape of its input. */
export function isShape({ op }: GraphNode): boolean {
  return op === 'Shape' || op === 'Size';
}

function split(proto: NodeProto): Omit<GraphNode, 'order'>[] {
  const op = operatorName(proto);
  const outputs = proto.output.filter((name) => name !== '');
  const skipNorm = findSkipNorm(proto);
  if (op === quantizedSum) {
    const present = (from: number, to: number): string[] =>
      proto.input.slice(from, to).filter((name) => name !== '');
    return [
      { proto, op: 'Add', inputs: present(0, proto.input.length), outputs },
      ...quantizedTerms.map((place) => ({
        proto,
        op: requantized,
        inputs: [...present(place, place + 3), ...present(6, 8)],
        outputs: [restName(proto, place)],
      })),
    ];
  }
  if (isEmbeddingWithNorm(proto)) {
    const [normed = '', , sum = ''] = proto.output;
    const scale = fusedNormScale(proto).filter((name) => name !== '');
    const inputs = proto.input.filter((name) => name !== '');
    return [
      { proto, op, inputs, outputs: outputs.filter((name) => name !== normed) },
      { proto, op: 'LayerNormalization', inputs: [sum, ...scale], outputs: [normed] },
    ];
  }
  if (skipNorm === undefined) {
    const inputs = [...proto.input, ...captures(proto)].filter((name) => name !== '');
    return [{ proto, op, inputs, outputs }];
  }
  const { norm, terms, scale, sum } = skipNorm;
  const between = sum === '' ? `${proto.output[0] ?? ''}\0sum` : sum;
  return [
    { proto, op: 'Add', inputs: terms, outputs: [between] },
    {
      proto,
      op: norm,
      inputs: [between, ...scale],
      outputs: outputs.filter((name) => name !== sum),
    },
  ];
}

/** Values that the nested graphs of a node take from the graph around it. */
function captures(proto: NodeProto): string[] {
  return proto.attribute.flatMap(({ g, graphs }) =>
    [...(g === undefined ? [] : [g]), ...graphs].flatMap((graph) => {
      const own = new Set([...graph.input, ...graph.initializer].map(({ name }) => name));
      graph.node.forEach((node) => {
        node.output.forEach((name) => own.add(name));
      });
      const read = [
        ...graph.node.flatMap((node) => [...node.input, ...captures(node)]),
        ...graph.output.map(({ name }) => name),
      ];
      return read.filter((name) => !own.has(name));
    }),
  );
}

/** Sorts nodes topologically (Kahn's algorithm). Already sorted nodes keep their order. */
function sortNodes(nodes: readonly Omit<GraphNode, 'order'>[], file: string): GraphNode[] {
  const makers = new Map<string, number>();
  for (const [index, { outputs }] of nodes.entries()) {
    for (const output of outputs) {
      if (makers.has(output)) {
        throw damaged(
          'onnx-value-produced-twice',
          say`Two nodes produce this value.`,
          file,
          output,
        );
      }
      makers.set(output, index);
    }
  }
  const waits = nodes.map(() => 0);
  const readers = nodes.map((): number[] => []);
  for (const [index, { inputs }] of nodes.entries()) {
    for (const input of new Set(inputs)) {
      const maker = makers.get(input);
      if (maker !== undefined) {
        readers[maker]?.push(index);
        waits[index] = (waits[index] ?? 0) + 1;
      }
    }
  }
  if (
    nodes.every(({ inputs }, index) => inputs.every((name) => (makers.get(name) ?? -1) < index))
  ) {
    return nodes.map((node, order) => ({ ...node, order }));
  }
  const ready = waits.flatMap((count, index) => (count === 0 ? [index] : []));
  const sorted: GraphNode[] = [];
  for (const index of ready) {
    const node = nodes[index];
    if (node !== undefined) {
      sorted.push({ ...node, order: sorted.length });
    }
    for (const reader of readers[index] ?? []) {
      waits[reader] = (waits[reader] ?? 0) - 1;
      if (waits[reader] === 0) {
        ready.push(reader);
      }
    }
  }
  if (sorted.length < nodes.length) {
    const stuck = nodes.find((_, index) => (waits[index] ?? 0) > 0);
    throw damaged('onnx-graph-cyclic', say`The graph has a cycle.`, file, stuck?.outputs[0] ?? '');
  }
  return sorted;
}

function damaged(code: ErrorCode, problem: Message, file: string, field: string): UserError {
  return new UserError(code, problem, { file, field, remedy: say`Export the model again.` });
}

function find(node: NodeProto, name: string) {
  return node.attribute.find((attribute) => attribute.name === name);
}

/** Integer attribute, or ONNX's default. */
export function intAttribute(node: NodeProto, name: string, absent: number): number {
  const found = find(node, name);
  return found === undefined ? absent : Number(found.i);
}

export function floatAttribute(node: NodeProto, name: string, absent: number): number {
  return find(node, name)?.f ?? absent;
}

export function intsAttribute(node: NodeProto, name: string): number[] | undefined {
  return find(node, name)?.ints.map(Number);
}

export function stringAttribute(node: NodeProto, name: string, absent: string): string {
  const found = find(node, name);
  return found === undefined ? absent : new TextDecoder().decode(found.s);
}

export function tensorAttribute(node: NodeProto, name: string): TensorProto | undefined {
  return find(node, name)?.t;
}

/** Returns the name of an output, and adds it to the node if it is missing. */
export function outputName({ output }: NodeProto, place: number): string {
  while (output.length <= place) {
    output.push('');
  }
  const known = output[place] ?? '';
  const name = known === '' ? `${output[0] ?? ''}/output_${place}` : known;
  output[place] = name;
  return name;
}
